package config

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/schema"
)

// checker says what is wrong with values that are well formed each for itself.
type checker struct {
	loaded *Loaded
	seen   map[string]string
	errs   *[]error
}

func (c *checker) fail(key, format string, args ...any) {
	*c.errs = append(*c.errs, fmt.Errorf("%s: %s: %s", c.place(key), key, fmt.Sprintf(format, args...)))
}

// place returns where key stands.
func (c *checker) place(key string) string {
	place := c.seen[key]
	for parent := key; place == "" && parent != ""; { // a default, or left out: name the nearest that is there
		cut := strings.LastIndexAny(parent, ".[")
		parent = parent[:max(cut, 0)]
		place = c.seen[parent]
	}
	return cmp.Or(place, "config")
}

func (c *checker) all() {
	l := c.loaded
	if len(l.Listen) == 0 {
		c.fail("listen", "no address to listen on")
	}
	if l.Data == "" {
		c.fail("data", "no folder for the events")
	}
	c.tls()
	c.keys()
	c.cookie()
	c.origins()
	c.policy()
	c.webhook()
	c.schemas()
	c.ranges()
}

func (c *checker) tls() {
	t := &c.loaded.TLS
	switch {
	case len(t.Domains) > 0 && (t.Certificate != "" || t.Key != ""):
		c.fail("tls.domains", "certificates are either in files or automatic: remove tls.certificate and tls.key, or this")
	case (t.Certificate == "") != (t.Key == ""):
		c.fail("tls.certificate", "a certificate needs its key and the key its certificate: set both tls.certificate and tls.key")
	case t.Certificate != "":
		if _, err := tls.LoadX509KeyPair(string(t.Certificate), string(t.Key)); err != nil {
			c.fail("tls.certificate", "%v", err)
		}
		c.private("tls.key", t.Key)
	}
	for i, d := range t.Domains {
		if at := fmt.Sprintf("tls.domains[%d]", i); strings.Contains(d, "*") {
			c.fail(at, "%q: the challenge that the listener can answer proves no wildcards: name each domain", d)
		} else if u, err := url.Parse("//" + d + "/"); err != nil || u.Host != d || u.Port() != "" || d == "" {
			c.fail(at, "%q is no domain, such as hub.bar.example", d)
		}
	}
	if len(t.Domains) == 0 && (t.Email != "" || t.Authority != "") {
		c.fail("tls.domains", "tls.email and tls.authority are for automatic certificates: name the domains")
	}
	if u, err := url.Parse(t.Authority); t.Authority != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		c.fail("tls.authority", "%q is no https URL", t.Authority)
	}
}

// private warns of a secret file that everybody can read.
func (c *checker) private(at string, file Path) {
	if info, err := os.Stat(string(file)); err == nil && info.Mode().Perm()&0o007 != 0 {
		c.loaded.Warnings = append(c.loaded.Warnings, fmt.Sprintf(
			"%s: %s: %s is open to every user of this machine: chmod 600 it, or 640 for a group of the hub's own", c.place(at), at, file))
	}
}

func (c *checker) keys() {
	l := c.loaded
	if len(l.Auth.Keys) == 0 {
		c.fail("auth.keys", "no keys: nobody could be authenticated. Add one, such as {alg: HS256, secretFile: roxy.secret}")
	}
	for i, k := range l.Auth.Keys {
		at := fmt.Sprintf("auth.keys[%d]", i)
		key, err := c.key(k, at)
		if err == nil {
			err = key.Check()
		}
		if err != nil {
			c.fail(at, "%v", err)
			continue
		}
		l.Keys = append(l.Keys, key)
	}
}

// key reads what a key's files hold.
func (c *checker) key(k Key, at string) (auth.Key, error) {
	given := 0
	for _, set := range []bool{k.Secret != "", k.SecretFile != "", k.PublicKeyFile != "", k.JWKSURL != ""} {
		if set {
			given++
		}
	}
	if given != 1 {
		return auth.Key{}, errors.New("want exactly one of secret, secretFile, publicKeyFile and jwksURL")
	}
	key := auth.Key{Algorithm: k.Alg, JWKSURL: k.JWKSURL}
	switch {
	case k.Secret != "":
		key.Secret = []byte(k.Secret)
	case k.SecretFile != "":
		text, err := os.ReadFile(string(k.SecretFile))
		if err != nil {
			return key, fmt.Errorf("secretFile: %w", err)
		}
		c.private(at, k.SecretFile)
		key.Secret = []byte(strings.TrimSpace(string(text)))
	case k.PublicKeyFile != "":
		text, err := os.ReadFile(string(k.PublicKeyFile))
		if err != nil {
			return key, fmt.Errorf("publicKeyFile: %w", err)
		}
		if key.PublicKey, err = auth.ParsePublicKey(text); err != nil {
			return key, fmt.Errorf("publicKeyFile %s: %w", k.PublicKeyFile, err)
		}
	}
	return key, nil
}

func (c *checker) cookie() {
	name := c.loaded.Auth.Cookie
	if name == "" {
		return
	}
	if err := (&http.Cookie{Name: name}).Valid(); err != nil { //nolint:gosec // only its name is looked at
		c.fail("auth.cookie", "%q is no name of a cookie", name)
	}
}

func (c *checker) origins() {
	for i, o := range c.loaded.CORS.Origins {
		at := fmt.Sprintf("cors.origins[%d]", i)
		if o == "*" {
			if c.loaded.CORS.Credentials {
				c.fail(at, "* cannot go with credentials: list the origins, or set cors.credentials to false")
			}
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || strings.Contains(o, "*") {
			c.fail(at, "%q is no origin: write it as the browser does, as in https://bar.example", o)
		}
	}
}

func (c *checker) policy() {
	for _, name := range slices.Sorted(maps.Keys(c.loaded.Policy.Roles)) {
		if err := roxy.CheckName(name); err != nil {
			c.fail("policy.roles."+name, "%v", err)
		}
	}
	c.fields()
}

// maxFieldRules bounds what is asked about each entity that somebody reads.
const maxFieldRules = 256

func (c *checker) fields() {
	fields := c.loaded.Policy.Fields
	for _, text := range slices.Sorted(maps.Keys(fields)) {
		at := "policy.fields." + text
		pattern, err := roxy.ParsePattern(text)
		if err != nil {
			c.fail(at, "%v", err)
		}
		for _, name := range slices.Sorted(maps.Keys(fields[text])) {
			at := at + "." + name
			path, err := roxy.ParseFieldPath(name)
			if err != nil {
				c.fail(at, "%v", err)
			}
			for _, role := range fields[text][name] {
				if err := roxy.CheckName(role); err != nil {
					c.fail(at, "role %q: %v", role, err)
				}
			}
			c.loaded.Fields = append(c.loaded.Fields, FieldRule{pattern, path, fields[text][name]})
		}
	}
	if n := len(c.loaded.Fields); n > maxFieldRules {
		c.fail("policy.fields", "%d fields, at most %d: * stands for any name in a path, and a pattern for many topics", n, maxFieldRules)
	}
}

func (c *checker) schemas() {
	folder := c.loaded.Config.Schemas
	if folder == "" {
		return
	}
	set, err := schema.Load(string(folder))
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range all.Unwrap() {
			c.fail("schemas", "%v", err)
		}
	} else if err != nil {
		c.fail("schemas", "%v", err)
	}
	c.loaded.Schemas = set
}

// maxCoalesce bounds how long events may wait for others: more would be felt.
const maxCoalesce = 100 * time.Millisecond

func (c *checker) coalesce() {
	for _, text := range slices.Sorted(maps.Keys(c.loaded.Stream.Coalesce)) {
		at, wait := "stream.coalesce."+text, c.loaded.Stream.Coalesce[text]
		pattern, err := roxy.ParsePattern(text)
		if err != nil {
			c.fail(at, "%v", err)
		}
		if wait > maxCoalesce {
			c.fail(at, "%s is more than %s", wait, maxCoalesce)
		}
		c.loaded.Coalesce = append(c.loaded.Coalesce, Coalesce{pattern, wait})
	}
}

func (c *checker) ranges() {
	l := c.loaded
	if h := l.Stream.Heartbeat; h < time.Second || h > time.Minute {
		c.fail("stream.heartbeat", "%s is not from 1s to 1m", h)
	}
	c.coalesce()
	if g := l.Presence.Grace; g < time.Second || g > time.Hour {
		c.fail("presence.grace", "%s is not from 1s to 1h", g)
	}
	if o := l.Drain.Over; o > time.Hour {
		c.fail("drain.over", "%s is more than an hour", o)
	}
	if l.Auth.Leeway > 5*time.Minute {
		c.fail("auth.leeway", "%s is more than 5m: tokens would outlive their exp by that", l.Auth.Leeway)
	}
	bounds := map[string]int{
		"stream.queue.bytes": int(l.Stream.Queue.Bytes), "stream.queue.events": l.Stream.Queue.Events,
		"limits.connections.perIP": l.Limits.Connections.PerIP, "limits.connections.perUser": l.Limits.Connections.PerUser,
		"limits.connections.perTenant": l.Limits.Connections.PerTenant, "limits.connections.attemptsPerIP": l.Limits.Connections.AttemptsPerIP,
		"limits.publish.burst": l.Limits.Publish.Burst, "limits.replay.burst": l.Limits.Replay.Burst, "limits.publishTenant.burst": l.Limits.PublishTenant.Burst,
		"limits.acks.burst": l.Limits.Acks.Burst, "limits.openAcks": l.Limits.OpenAcks, "limits.devicesPerUser": l.Limits.DevicesPerUser, "mailbox.events": l.Mailbox.Events,
		"limits.event": int(l.Limits.Event), "limits.batch": l.Limits.Batch, "limits.topicsPerStream": l.Limits.TopicsPerStream,
	}
	for _, key := range slices.Sorted(maps.Keys(bounds)) {
		if bounds[key] == 0 {
			c.fail(key, "0 would let nothing through")
		}
	}
	if l.Limits.Event > 16<<20 {
		c.fail("limits.event", "%s is more than 16MiB: events are messages, not files", l.Limits.Event)
	}
	if l.Limits.Replay.Rate == 0 {
		c.fail("limits.replay.rate", "0 would let nothing through")
	}
	if l.Limits.Publish.Rate == 0 {
		c.fail("limits.publish.rate", "0 would let nothing through")
	}
	if l.Limits.Acks.Rate == 0 {
		c.fail("limits.acks.rate", "0 would let nothing through")
	}
	if a := l.Mailbox.Age; a < time.Minute {
		c.fail("mailbox.age", "%s is less than a minute: a device that only reconnects would be told to refetch", a)
	}
	if l.Limits.PublishTenant.Rate == 0 {
		c.fail("limits.publishTenant.rate", "0 would let nothing through")
	}
}

// Proxies returns the networks of trusted proxies.
func (c *Config) Proxies() []netip.Prefix {
	prefixes := make([]netip.Prefix, len(c.TrustedProxies))
	for i, n := range c.TrustedProxies {
		prefixes[i] = netip.Prefix(n)
	}
	return prefixes
}

// Grants returns what each role grants.
func (c *Config) Grants() map[string]roxy.Grant {
	grants := make(map[string]roxy.Grant, len(c.Policy.Roles))
	for name, r := range c.Policy.Roles {
		grants[name] = roxy.Grant{Read: r.Read, Publish: r.Publish, Write: r.Write, Admin: r.Admin}
	}
	return grants
}
