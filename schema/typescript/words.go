package typescript

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var identifier = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// key writes the name of a member, quoted where it has to be.
func key(name string) string {
	if identifier.MatchString(name) {
		return name
	}
	return literal(name)
}

// literal writes a JSON value as a type that has no other value.
func literal(value any) string {
	switch v := value.(type) {
	case map[string]any:
		members := make([]string, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			members = append(members, key(name)+": "+literal(v[name]))
		}
		if len(members) == 0 {
			return "{ [name: string]: never }"
		}
		return "{ " + strings.Join(members, "; ") + " }"
	case []any:
		elements := make([]string, len(v))
		for i, element := range v {
			elements[i] = literal(element)
		}
		return "[" + strings.Join(elements, ", ") + "]"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil { // what was JSON is JSON
		panic("BUG: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// documentation returns what the annotations of s say, without its title where that only says name again.
func documentation(s map[string]any, name string) string {
	var lines []string
	text := func(keyword string) string {
		words, _ := s[keyword].(string)
		return strings.TrimSpace(words)
	}
	if title := text("title"); title != "" && !strings.EqualFold(strings.ReplaceAll(title, " ", ""), name) {
		lines = append(lines, title)
	}
	if description := text("description"); description != "" {
		lines = append(lines, description)
	}
	if format := text("format"); format != "" {
		lines = append(lines, "Format: "+format)
	}
	if s["deprecated"] == true {
		lines = append(lines, "@deprecated")
	}
	return strings.Join(lines, "\n")
}

// comment writes text above what it is about.
func comment(text, indent string) string {
	if text == "" {
		return ""
	}
	text = strings.ReplaceAll(text, "*/", `*\/`)
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' })
	if len(lines) == 1 {
		return fmt.Sprintf("%s/** %s */\n", indent, lines[0])
	}
	return indent + "/**\n" + indent + " * " + strings.Join(lines, "\n"+indent+" * ") + "\n" + indent + " */\n"
}
