package admin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/roxyhub/roxy"
)

const (
	// maxRevocation bounds the body: three short members, escaped.
	maxRevocation = 4 << 10
	// bodyTime is how long a request may take to send it.
	bodyTime = 10 * time.Second
)

// revoke answers POST /v1/admin/revocations, once the revocation is durable: tokens of the caller's tenant are refused
// from then on, and their live connections end.
func (a *api) revoke(w http.ResponseWriter, r *http.Request, who roxy.Identity) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return &roxy.Problem{Code: roxy.UnsupportedMedia, Member: "Content-Type", Detail: "a revocation is sent as application/json"}
	}
	// Writers that know no deadlines are no sockets.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRevocation))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return err
		}
		return invalid("", "the body did not arrive whole", err)
	}
	revocation, err := decodeRevocation(body)
	if err != nil {
		return err
	}
	revocation.Tenant = who.Tenant
	if err := a.Hub.RevokeBy(r.Context(), who, remoteOf(r), revocation); err != nil {
		return err
	}
	a.Logger.LogAttrs(r.Context(), slog.LevelInfo, "tokens revoked",
		slog.String("tenant", who.Tenant), slog.String("by", who.User), slog.String("jti", revocation.TokenID),
		slog.String("user", revocation.User), slog.Time("before", revocation.Before))
	return answer(w, revocation)
}

// decodeRevocation reads {"jti": …} or {"user": …, "before": …}. Beyond the grammar of JSON it refuses unknown members,
// repeated names, invalid UTF-8 and anything after the object; which members go together is the hub's to say.
func decodeRevocation(body []byte) (roxy.Revocation, error) {
	var r roxy.Revocation
	d := jsontext.NewDecoder(bytes.NewReader(body))
	if d.PeekKind() != '{' {
		return r, invalid("", "want an object with jti, or with user and before", nil)
	}
	if _, err := d.ReadToken(); err != nil {
		return r, malformed(d, err)
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return r, malformed(d, err)
		}
		member := token.String()
		kind := d.PeekKind()
		if token, err = d.ReadToken(); err != nil {
			return r, malformed(d, err)
		}
		if err := setMember(&r, member, kind, token.String()); err != nil {
			return r, err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return r, malformed(d, err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return r, invalid("", fmt.Sprintf("byte %d: something follows the object", d.InputOffset()), nil)
	}
	return r, nil
}

// setMember takes one member, whose value is text when kind says that it is a string.
func setMember(r *roxy.Revocation, member string, kind jsontext.Kind, text string) error {
	switch member {
	case "jti", "user", "before":
	default:
		if len(member) > roxy.MaxNameBytes {
			member = strings.ToValidUTF8(member[:roxy.MaxNameBytes], "") + "…"
		}
		return invalid(member, "unknown member; a revocation has jti, or user and before", nil)
	}
	if kind != '"' {
		return invalid(member, member+": want a string", nil)
	}
	if member == "before" {
		before, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return invalid(member, "before: want a time such as 2026-11-23T18:00:00Z", err)
		}
		r.Before = before.UTC()
		return nil
	}
	if err := roxy.CheckName(text); err != nil {
		return invalid(member, member+": "+err.Error(), nil)
	}
	if member == "jti" {
		r.TokenID = text
	} else {
		r.User = text
	}
	return nil
}

func malformed(d *jsontext.Decoder, err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return invalid(strings.TrimPrefix(string(d.StackPointer()), "/"), "a member is given twice", err)
	}
	return invalid("", fmt.Sprintf("byte %d: not JSON in UTF-8", d.InputOffset()), err)
}

func invalid(member, why string, err error) error {
	return &roxy.Problem{Code: roxy.InvalidParameter, Member: member, Detail: why, Err: err}
}
