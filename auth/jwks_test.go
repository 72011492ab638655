package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/roxyhub/roxy"
)

// site is an issuer's web server whose answer can be exchanged.
type site struct {
	answer   atomic.Pointer[func(http.ResponseWriter, *http.Request)]
	requests atomic.Int64
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	(*s.answer.Load())(w, r)
}

func (s *site) say(f func(http.ResponseWriter, *http.Request)) { s.answer.Store(&f) }

// publish has the site answer with a set of keys, by key id.
func (s *site) publish(tb testing.TB, keys map[string]any) {
	tb.Helper()
	body := set(tb, keys)
	s.say(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
}

func (s *site) fail() {
	s.say(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) })
}

// set returns a JSON Web Key Set.
func set(tb testing.TB, keys map[string]any) []byte {
	tb.Helper()
	var all jwkset.JWKSMarshal
	for kid, key := range keys {
		jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
			Marshal:  jwkset.JWKMarshalOptions{Private: true},
			Metadata: jwkset.JWKMetadataOptions{KID: kid},
		})
		if err != nil {
			tb.Fatal(err)
		}
		all.Keys = append(all.Keys, jwk.Marshal())
	}
	body, err := json.Marshal(all)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func serve(tb testing.TB) (*site, *httptest.Server) {
	tb.Helper()
	s := &site{}
	s.fail()
	server := httptest.NewServer(s)
	tb.Cleanup(server.Close)
	return s, server
}

func TestEveryPublicKeyAlgorithmVerifiesThroughAnIssuer(t *testing.T) {
	all := pairs(t)
	s, server := serve(t)
	keys := make(map[string]any)
	for algorithm, p := range all {
		if p.key.PublicKey != nil {
			keys[algorithm] = p.key.PublicKey
		}
	}
	s.publish(t, keys)
	var opts Options
	for algorithm := range keys {
		opts.Keys = append(opts.Keys, Key{Algorithm: algorithm, JWKSURL: server.URL})
	}
	v := open(t, opts)
	for algorithm := range keys {
		p := all[algorithm]
		for _, header := range [][]string{{"kid", algorithm}, nil} {
			if id, err := v.Verify(t.Context(), sign(t, algorithm, p.private, nil, header...)); err != nil || id.User != "u7" {
				t.Errorf("%s %v: %+v, %v", algorithm, header, id, err)
			}
		}
	}
	// The set also says which key is whose: an RSA key that signs both RS256 and PS256 here does not verify ES256.
	_, err := v.Verify(t.Context(), sign(t, "ES256", newECDSA(t, elliptic.P256()), nil, "kid", "RS256"))
	refused(t, err, roxy.Unauthenticated, "")
}

func TestAnIssuersKeysServeTheirAlgorithmOnly(t *testing.T) {
	es, rs := newECDSA(t, elliptic.P256()), rsaKey()
	s, server := serve(t)
	s.publish(t, map[string]any{"es": es.Public(), "rs": rs.Public(), "hs": []byte(secret), "leaked": newECDSA(t, elliptic.P256())})
	v := open(t, Options{Keys: []Key{{Algorithm: "ES256", JWKSURL: server.URL}, {Algorithm: "HS256", Secret: []byte(strings.Repeat("x", 32))}}})
	if _, err := v.Verify(t.Context(), sign(t, "ES256", es, nil, "kid", "es")); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"an algorithm that is not configured":       sign(t, "RS256", rs, nil, "kid", "rs"),
		"a secret that anybody can read in the set": sign(t, "HS256", []byte(secret), nil, "kid", "hs"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), token)
			refused(t, err, roxy.Unauthenticated, "", token)
		})
	}
	got, err := v.issuers["ES256"][0].keys.KeyReadAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range got {
		if fits("ES256", key.Key()) != nil {
			t.Errorf("kept %T, which is no public key of ES256", key.Key())
		}
	}
}

func TestAStaticKeyAndTwoIssuersMayShareAnAlgorithm(t *testing.T) {
	keys := []*ecdsa.PrivateKey{newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256())}
	one, oneServer := serve(t)
	two, twoServer := serve(t)
	one.publish(t, map[string]any{"k": keys[0].Public()})
	two.publish(t, map[string]any{"k": keys[1].Public()})
	v := open(t, Options{Keys: []Key{
		{Algorithm: "ES256", PublicKey: keys[2].Public()},
		{Algorithm: "ES256", JWKSURL: oneServer.URL},
		{Algorithm: "ES256", JWKSURL: twoServer.URL},
	}})
	for i, key := range keys {
		if _, err := v.Verify(t.Context(), sign(t, "ES256", key, nil, "kid", "k")); err != nil {
			t.Errorf("key %d: %v", i, err)
		}
	}
}

func TestOnlyKeysMeantForTheAlgorithmAreKept(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*jwkset.JWKMarshal)
		kept   bool
	}{
		"as it is":              {func(*jwkset.JWKMarshal) {}, true},
		"meant for signatures":  {func(k *jwkset.JWKMarshal) { k.ALG, k.USE, k.KEYOPS = "RS256", "sig", []jwkset.KEYOPS{"verify"} }, true},
		"meant for encryption":  {func(k *jwkset.JWKMarshal) { k.USE = "enc" }, false},
		"meant for signing":     {func(k *jwkset.JWKMarshal) { k.KEYOPS = []jwkset.KEYOPS{"sign"} }, false},
		"of a kindred kind":     {func(k *jwkset.JWKMarshal) { k.ALG = "PS256" }, false},
		"of an encryption kind": {func(k *jwkset.JWKMarshal) { k.ALG = "RSA-OAEP" }, false},
		"broken":                {func(k *jwkset.JWKMarshal) { k.N = "" }, false},
		"short":                 {func(k *jwkset.JWKMarshal) { k.N = k.N[:100] }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var all jwkset.JWKSMarshal
			if err := json.Unmarshal(set(t, map[string]any{"k": rsaKey().Public()}), &all); err != nil {
				t.Fatal(err)
			}
			tt.change(&all.Keys[0])
			body, err := json.Marshal(all)
			if err != nil {
				t.Fatal(err)
			}
			if keys, err := parseSet(body, "RS256"); (len(keys) == 1) != tt.kept || (err == nil) != tt.kept {
				t.Fatalf("%d keys, %v", len(keys), err)
			}
		})
	}
}

func TestFetchRefusesWhatIsNoSet(t *testing.T) {
	es := newECDSA(t, elliptic.P256())
	good := set(t, map[string]any{"k": es.Public()})
	many := make(map[string]any)
	for i := range maxSetKeys + 1 {
		many[strings.Repeat("k", i+1)] = es.Public()
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(good) }))
	t.Cleanup(elsewhere.Close)
	text := func(s string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	redirect := func(to string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	for name, tt := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   string // "" when all is well
	}{
		"a set":                        {text(string(good)), ""},
		"a set elsewhere on loopback":  {redirect(elsewhere.URL), ""},
		"not found":                    {http.NotFound, "404"},
		"HTML":                         {text("<html>"), "not a JSON Web Key Set"},
		"nothing":                      {text(""), "not a JSON Web Key Set"},
		"no keys":                      {text(`{"keys":[]}`), "none of the 0 keys"},
		"only keys for something else": {text(string(set(t, map[string]any{"k": rsaKey().Public()}))), "none of the 1 keys"},
		"too many keys":                {text(string(set(t, many))), "at most 100"},
		"too long":                     {text(strings.Repeat(" ", maxSetBytes+1)), "more than 1048576 bytes"},
		"a redirect to plain http":     {redirect("http://192.0.2.1/jwks"), "use https"},
		"a redirect in a circle":       {redirect("/"), "too many redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			s, server := serve(t)
			s.say(tt.answer)
			client := newClient()
			t.Cleanup(client.CloseIdleConnections)
			is := newIssuer(Key{Algorithm: "ES256", JWKSURL: server.URL}, client, slog.New(slog.DiscardHandler))
			n, err := is.fetch(t.Context())
			if tt.want == "" {
				if n != 1 || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || is.fails.Load() != 1 {
				t.Fatalf("%v, want %q", err, tt.want)
			}
		})
	}
}

// inBubble runs test in a synctest bubble, where an hour passes at once, with an issuer of ES256 keys that is down:
// real HTTP, but over pipes.
func inBubble(t *testing.T, test func(t *testing.T, s *site, v *Verifier)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &site{}
		s.fail()
		listener := &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listener) })
		client := &http.Client{Transport: &http.Transport{DialContext: listener.dial, DisableKeepAlives: true}, Timeout: fetchTimeout}
		v, err := newVerifier(t.Context(), Options{Keys: []Key{{Algorithm: "ES256", JWKSURL: "http://localhost/jwks"}}}, client)
		if err != nil {
			t.Fatal(err)
		}
		defer serving.Wait()
		defer server.Close() //nolint:errcheck // the test is over
		defer v.Close()
		test(t, s, v)
	})
}

// pipes is a listener whose connections are in memory.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.dialed <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialed:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func TestAnIssuerThatIsDownKeepsNobodyFromStarting(t *testing.T) {
	key := newECDSA(t, elliptic.P256())
	inBubble(t, func(t *testing.T, s *site, v *Verifier) {
		t.Helper()
		token := sign(t, "ES256", key, nil, "kid", "a")
		_, err := v.Verify(t.Context(), token)
		if p := refused(t, err, roxy.NotReady, "", token); p.RetryAfter <= 0 {
			t.Fatalf("%+v", p)
		}
		time.Sleep(10 * time.Minute)
		if n := s.requests.Load(); n < 10 || n > 30 {
			t.Fatalf("%d fetches in 10 min: want a backoff up to a minute", n)
		}
		s.publish(t, map[string]any{"a": key.Public()})
		time.Sleep(maxBackoff)
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatalf("the issuer has been back for a minute: %v", err)
		}
	})
}

func TestCachedKeysServeWhileTheIssuerIsDown(t *testing.T) {
	key := newECDSA(t, elliptic.P256())
	inBubble(t, func(t *testing.T, s *site, v *Verifier) {
		t.Helper()
		s.publish(t, map[string]any{"a": key.Public()})
		time.Sleep(maxBackoff)
		s.fail()
		time.Sleep(24 * time.Hour)
		if _, err := v.Verify(t.Context(), sign(t, "ES256", key, nil, "kid", "a")); err != nil {
			t.Fatal(err)
		}
		_, err := v.Verify(t.Context(), sign(t, "ES256", newECDSA(t, elliptic.P256()), nil, "kid", "b"))
		refused(t, err, roxy.Unauthenticated, "")
	})
}

func TestANewKeyIsFetchedAtOnceButOncePerMinute(t *testing.T) {
	first, second := newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256())
	third, fourth := newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256())
	inBubble(t, func(t *testing.T, s *site, v *Verifier) {
		t.Helper()
		s.publish(t, map[string]any{"a": first.Public()})
		time.Sleep(maxBackoff)

		// A rotation: everybody comes with the new key at once, and one fetch serves them all.
		s.publish(t, map[string]any{"a": first.Public(), "b": second.Public()})
		before := s.requests.Load()
		var group sync.WaitGroup
		for range 20 {
			token := sign(t, "ES256", second, nil, "kid", "b")
			group.Go(func() {
				if _, err := v.Verify(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n := s.requests.Load() - before; n != 1 {
			t.Fatalf("%d fetches for one rotation", n)
		}

		// A token without a key id finds the new key, too.
		time.Sleep(fetchDemanded)
		s.publish(t, map[string]any{"a": first.Public(), "b": second.Public(), "d": fourth.Public()})
		if _, err := v.Verify(t.Context(), sign(t, "ES256", fourth, nil)); err != nil {
			t.Fatal(err)
		}
		before = s.requests.Load() - 1

		// Invented key ids cause no more.
		for range 50 {
			_, err := v.Verify(t.Context(), sign(t, "ES256", third, nil, "kid", "c"))
			refused(t, err, roxy.Unauthenticated, "")
			time.Sleep(time.Second)
		}
		if n := s.requests.Load() - before; n != 1 {
			t.Fatalf("%d fetches within a minute", n)
		}
		time.Sleep(10 * time.Second)
		s.publish(t, map[string]any{"c": third.Public()})
		if _, err := v.Verify(t.Context(), sign(t, "ES256", third, nil, "kid", "c")); err != nil {
			t.Fatal(err)
		}
		// And what the set no longer holds is good no more, once its minute in the cache is over.
		_, err := v.Verify(t.Context(), sign(t, "ES256", first, with(jwt.MapClaims{"jti": "fresh"}), "kid", "a"))
		refused(t, err, roxy.Unauthenticated, "")
	})
}

func TestAWithdrawnKeyIsForgottenWithTheNextFetch(t *testing.T) {
	key, other := newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P256())
	inBubble(t, func(t *testing.T, s *site, v *Verifier) {
		t.Helper()
		s.publish(t, map[string]any{"a": key.Public()})
		time.Sleep(maxBackoff)
		token := sign(t, "ES256", key, nil, "kid", "a")
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		s.publish(t, map[string]any{"b": other.Public()})
		time.Sleep(fetchEvery + cacheLife)
		_, err := v.Verify(t.Context(), token)
		refused(t, err, roxy.Unauthenticated, "", token)
	})
}

func TestWaitingForKeysEndsWithTheRequest(t *testing.T) {
	key := newECDSA(t, elliptic.P256())
	inBubble(t, func(t *testing.T, s *site, v *Verifier) {
		t.Helper()
		s.say(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		time.Sleep(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := v.Verify(ctx, sign(t, "ES256", key, nil, "kid", "a"))
		refused(t, err, roxy.NotReady, "")
		if took := time.Since(began); took > time.Second {
			t.Fatalf("waited %s", took)
		}
	})
}

func FuzzParseSet(f *testing.F) {
	f.Add(set(f, map[string]any{"k": newECDSA(f, elliptic.P256()).Public(), "r": rsaKey().Public()}))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":""},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"},null]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
			keys, err := parseSet(body, algorithm)
			if err == nil && len(keys) == 0 {
				t.Fatal("neither keys nor an error")
			}
			for _, key := range keys {
				if err := fits(algorithm, key.Key()); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
