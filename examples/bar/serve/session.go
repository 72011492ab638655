package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

// shift is how long somebody who signed in may renew the token.
const shift = 12 * time.Hour

var errSession = errors.New("the session is over, or is none of ours: sign in")

// sessions makes what a page keeps for its shift: who signed in as what and until when, sealed with the secret. Nothing
// of it is stored, so that a restart of the server signs nobody out.
type sessions struct {
	secret []byte
	now    func() time.Time
}

// begin returns a session of user in role.
func (s sessions) begin(user, role string) string {
	text := strings.Join([]string{user, role, strconv.FormatInt(s.now().Add(shift).Unix(), 10)}, " ")
	return base64.RawURLEncoding.EncodeToString([]byte(text)) + "." + hex.EncodeToString(s.seal(text))
}

// open returns whose session it is, or errSession.
func (s sessions) open(session string) (user, role string, err error) {
	encoded, seal, _ := strings.Cut(session, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", errSession
	}
	sealed, err := hex.DecodeString(seal)
	if err != nil || !hmac.Equal(sealed, s.seal(string(text))) {
		return "", "", errSession
	}
	parts := strings.Split(string(text), " ")
	if len(parts) != 3 {
		return "", "", errSession
	}
	until, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || s.now().Unix() >= until || !mayBe(parts[0], parts[1]) {
		return "", "", errSession
	}
	return parts[0], parts[1], nil
}

func (s sessions) seal(text string) []byte {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte("bar session\n" + text)) // a hub's token is signed with the same secret, and is no session
	return mac.Sum(nil)
}
