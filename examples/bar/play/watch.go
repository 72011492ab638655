package main

import (
	"fmt"
	"net/url"
	"strings"
)

// watch returns how to follow the evening as somebody whose token is in a file.
func watch(s settings, tokenFile, user, role string, patterns []string) string {
	query := url.Values{"topic": patterns, "after": {"earliest"}}
	quoted := "'" + strings.Join(patterns, "' '") + "'"
	return fmt.Sprintf(`To watch as %s (%s), paste one of these into another terminal:

  %s tail --url %s --token-file %s --after earliest %s
  curl -N -H "Authorization: Bearer $(cat %s)" '%s/v1/stream?%s'

`, user, role, s.roxy, s.hub, tokenFile, quoted, tokenFile, s.hub, query.Encode())
}
