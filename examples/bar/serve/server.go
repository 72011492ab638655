package main

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	bar "github.com/roxyhub/roxy/examples/bar"
)

// server is the bar's own backend: it serves the app, says who may be who, and gives their tokens. It never talks to the
// hub for a page, but for the manager's audit: pages talk to the hub themselves, which trusts their tokens alone.
type server struct {
	hub, admin string // the hub's public address, and its operator's listener
	secret     []byte
	lifetime   time.Duration // of a token
	sessions   sessions
	web        string // the folder of the built app
	client     *http.Client
}

func newServer(s settings, secret []byte) *server {
	return &server{
		hub: s.hub, admin: s.admin, secret: secret, lifetime: s.lifetime, sessions: sessions{secret, time.Now}, web: s.web,
		client: &http.Client{Timeout: 10 * time.Second},
	}
}

// handler serves only pages of this machine that address it by this machine's name: a page of another site whose own name
// was made to point here (DNS rebinding) is refused, and so are requests that another site's page sends.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/staff", s.tellStaff)
	mux.HandleFunc("POST /api/sessions", s.signIn)
	mux.HandleFunc("POST /api/tokens", s.renew)
	mux.HandleFunc("GET /api/audit", s.audit)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, errors.New("no such call"))
	})
	mux.Handle("/", s.files())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, ok := hostOf(host); ok {
			host = h
		}
		origin := r.Header.Get("Origin")
		if !isLoopback(host) || origin != "" && origin != "http://"+r.Host || r.Header.Get("Sec-Fetch-Site") == "cross-site" && strings.HasPrefix(r.URL.Path, "/api/") {
			refuse(w, http.StatusForbidden, errors.New("this server is for pages of this machine alone"))
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; manifest-src 'self'; connect-src 'self' "+s.hub+" "+strings.Replace(s.hub, "http", "ws", 1)+"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		mux.ServeHTTP(w, r)
	})
}

type access struct {
	Session string    `json:"session"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
	User    string    `json:"user"`
	Role    string    `json:"role"`
	Hub     string    `json:"hub"`
	Staff   []person  `json:"staff"` // how the others are called
}

func (s *server) tellStaff(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"staff": staff(), "hub": s.hub})
}

func (s *server) signIn(w http.ResponseWriter, r *http.Request) {
	var asked struct{ User, Role string }
	if err := read(r, &asked); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if !mayBe(asked.User, asked.Role) {
		refuse(w, http.StatusForbidden, errors.New("nobody of the staff is called that and has that role"))
		return
	}
	s.give(w, s.sessions.begin(asked.User, asked.Role), asked.User, asked.Role)
}

func (s *server) renew(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Session string }
	if err := read(r, &asked); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	user, role, err := s.sessions.open(asked.Session)
	if err != nil {
		refuse(w, http.StatusUnauthorized, err)
		return
	}
	s.give(w, asked.Session, user, role)
}

func (s *server) give(w http.ResponseWriter, session, user, role string) {
	token, err := bar.Token(s.secret, user, []string{role}, s.lifetime)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, access{Session: session, Token: token, Expires: time.Now().Add(s.lifetime).UTC(), User: user, Role: role, Hub: s.hub, Staff: staff()})
}

// audit hands on the hub's audit trail to a manager: the operator's listener is not for pages, and managers operate no hub.
func (s *server) audit(w http.ResponseWriter, r *http.Request) {
	_, role, err := s.sessions.open(r.Header.Get("Bar-Session"))
	if err != nil {
		refuse(w, http.StatusUnauthorized, err)
		return
	}
	if role != "manager" {
		refuse(w, http.StatusForbidden, errors.New("the audit trail is for the manager"))
		return
	}
	token, err := bar.Token(s.secret, "bar", []string{"admin"}, time.Minute)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	query := url.Values{"order": {"desc"}, "limit": {"100"}}
	asked, err := http.NewRequestWithContext(r.Context(), http.MethodGet, s.admin+"/v1/admin/audit?"+query.Encode(), nil)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	asked.Header.Set("Authorization", "Bearer "+token)
	got, err := s.client.Do(asked)
	if err != nil {
		refuse(w, http.StatusBadGateway, errors.New("the hub does not answer"))
		return
	}
	defer func() { _ = got.Body.Close() }() // read only
	w.Header().Set("Content-Type", got.Header.Get("Content-Type"))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(got.StatusCode)
	_, _ = io.Copy(w, got.Body) // a page that is gone needs no answer
}

// files serves the built app. What is below assets/ is named by its contents and good for ever; the page and its service
// worker are asked for each time, so that a new build is there with the next load.
func (s *server) files() http.Handler {
	web := os.DirFS(s.web)
	files := http.FileServerFS(web)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		if path.Dir(r.URL.Path) == "/assets" && path.Ext(r.URL.Path) != "" {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable") // FileServer takes it from what is not there
		}
		if _, err := fs.Stat(web, "index.html"); err != nil {
			refuse(w, http.StatusNotFound, errors.New("the app is not built: npm --prefix examples/bar/web run build"))
			return
		}
		files.ServeHTTP(w, r)
	})
}

// read takes a body of JSON, strictly: its type keeps other sites' forms out.
func read(r *http.Request, into any) error {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return errors.New("Content-Type: want application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 4096))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into, json.RejectUnknownMembers(true), json.MatchCaseInsensitiveNames(true))
}

func answer(w http.ResponseWriter, value any) { write(w, http.StatusOK, value) }

func refuse(w http.ResponseWriter, status int, why error) {
	write(w, status, map[string]string{"detail": why.Error()})
}

func write(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"detail":"no JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a page that is gone needs no answer
}
