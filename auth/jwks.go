package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

const (
	fetchTimeout  = 5 * time.Second  // of one fetch, its redirects included
	fetchEvery    = 15 * time.Minute // so long a withdrawn key may go on being accepted
	fetchDemanded = time.Minute      // least time between fetches that tokens with an unknown key caused
	minBackoff    = time.Second      // after a failed fetch, doubled up to maxBackoff
	maxBackoff    = time.Minute
	maxSetBytes   = 1 << 20
	maxSetKeys    = 100 // a token without kid is tried with each
	maxRedirects  = 3
)

// issuer keeps the signing keys that are published at one URL, for one algorithm. Its goroutine (run) alone fetches
// them; until a fetch succeeds, those of the last one stay.
type issuer struct {
	url       string
	algorithm string
	client    *http.Client
	logger    *slog.Logger

	keys *jwkset.MemoryJWKSet
	find keyfunc.Keyfunc // in keys

	demand chan struct{} // asks run for a fetch before its time

	mu       sync.Mutex
	round    *round    // the fetch that is going on or asked for; nil when there is none
	demanded time.Time // when one was last asked for
	loaded   bool      // one has succeeded

	fetches, fails atomic.Uint64
}

// round is one fetch that callers may wait for.
type round struct {
	done chan struct{}
	ok   bool // valid once done is closed
}

// newClient returns the client that fetches keys.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    fetchTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			IdleConnTimeout:        fetchTimeout,
		},
		Timeout: fetchTimeout,
		CheckRedirect: func(to *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errors.New("too many redirects")
			}
			return checkURL(to.URL.String())
		},
	}
}

func newIssuer(key Key, client *http.Client, logger *slog.Logger) *issuer {
	keys := jwkset.NewMemoryStorage()
	find, err := keyfunc.New(keyfunc.Options{Storage: keys})
	if err != nil {
		panic("BUG: keyfunc refuses a storage: " + err.Error())
	}
	return &issuer{
		url:       key.JWKSURL,
		algorithm: key.Algorithm,
		client:    client,
		logger:    logger,
		keys:      keys,
		find:      find,
		demand:    make(chan struct{}, 1),
		round:     &round{done: make(chan struct{})}, // run begins with a fetch
	}
}

// run fetches the keys at once, every fetchEvery, and when a token asks for it, until ctx ends.
func (is *issuer) run(ctx context.Context) {
	backoff := minBackoff
	for {
		n, err := is.fetch(ctx)
		first := is.finish(err == nil)
		wait := fetchEvery
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = backoff/2 + rand.N(backoff/2) //nolint:gosec // spreads load, guards nothing
			backoff = min(2*backoff, maxBackoff)
			is.logger.WarnContext(ctx, "signing keys not fetched", "url", is.url, "error", err, "retry", wait)
		default:
			backoff = minBackoff
			if first {
				is.logger.InfoContext(ctx, "signing keys fetched", "url", is.url, "algorithm", is.algorithm, "keys", n)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-is.demand:
		}
		is.begin()
	}
}

// begin opens the round that refresh has not opened already.
func (is *issuer) begin() {
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.round == nil {
		is.round = &round{done: make(chan struct{})}
	}
}

// finish tells whoever waits how the fetch ended, and reports whether it was the first to succeed.
func (is *issuer) finish(ok bool) bool {
	is.mu.Lock()
	defer is.mu.Unlock()
	first := ok && !is.loaded
	is.loaded = is.loaded || ok
	is.round.ok = ok
	close(is.round.done)
	is.round = nil
	return first
}

// empty reports whether no fetch has succeeded yet.
func (is *issuer) empty() bool {
	is.mu.Lock()
	defer is.mu.Unlock()
	return !is.loaded
}

// refresh waits for a fetch of the keys and reports whether it succeeded. Callers share one fetch, and cause one at
// most once per fetchDemanded: else anybody could have us flood the issuer by sending tokens with invented key ids.
func (is *issuer) refresh(ctx context.Context) bool {
	is.mu.Lock()
	r := is.round
	if r == nil {
		now := time.Now()
		if !is.demanded.IsZero() && now.Sub(is.demanded) < fetchDemanded {
			is.mu.Unlock()
			return false
		}
		is.demanded = now
		r = &round{done: make(chan struct{})}
		is.round = r
		select {
		case is.demand <- struct{}{}:
		default: // one is left over from a round that the timer began
		}
	}
	is.mu.Unlock()

	// Its timeout ends the fetch; ours is for when run has been stopped.
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	select {
	case <-r.done:
		return r.ok
	case <-ctx.Done():
		return false
	}
}

// candidates returns the keys that may have signed t: the one it names, or all when it names none. It is sure when a
// fetch would bring no other.
func (is *issuer) candidates(t *jwt.Token) (keys []jwt.VerificationKey, sure bool) {
	got, err := is.find.Keyfunc(t)
	switch key := got.(type) {
	case nil:
		return nil, !errors.Is(err, jwkset.ErrKeyNotFound)
	case jwt.VerificationKeySet:
		return key.Keys, false
	default:
		return []jwt.VerificationKey{key}, true
	}
}

// fetch replaces the keys by those at the URL and returns how many there are. On an error they stay as they are.
func (is *issuer) fetch(ctx context.Context) (n int, err error) {
	is.fetches.Add(1)
	defer func() {
		if err != nil {
			is.fails.Add(1)
		}
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, is.url, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := is.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the answer is %s", response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxSetBytes+1))
	if err != nil {
		return 0, err
	}
	if len(body) > maxSetBytes {
		return 0, fmt.Errorf("the answer takes more than %d bytes", maxSetBytes)
	}
	keys, err := parseSet(body, is.algorithm)
	if err != nil {
		return 0, err
	}
	return len(keys), is.keys.KeyReplaceAll(ctx, keys)
}

// parseSet returns the public keys of a JSON Web Key Set (RFC 7517) that verify signatures of algorithm. Sets may hold
// keys for other purposes and of kinds not known yet: those are passed over, but none at all is an error.
func parseSet(body []byte, algorithm string) ([]jwkset.JWK, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("the answer is not a JSON Web Key Set")
	}
	var keys []jwkset.JWK
	for _, member := range set.Keys {
		if member.ALG != "" && member.ALG.String() != algorithm || member.USE != "" && member.USE != jwkset.UseSig {
			continue
		}
		if len(member.KEYOPS) > 0 && !slices.Contains(member.KEYOPS, jwkset.KeyOpsVerify) {
			continue
		}
		// Without Private a set that leaks private keys or shared secrets yields public keys only.
		key, err := jwkset.NewJWKFromMarshal(member, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || fits(algorithm, key.Key()) != nil {
			continue
		}
		keys = append(keys, key)
	}
	switch {
	case len(keys) == 0:
		return nil, fmt.Errorf("none of the %d keys in the set is a public key for %s", len(set.Keys), algorithm)
	case len(keys) > maxSetKeys:
		return nil, fmt.Errorf("the set holds %d keys for %s, at most %d", len(keys), algorithm, maxSetKeys)
	}
	return keys, nil
}
