// Package config reads the hub's configuration: a YAML file, environment variables over it, flags over both. Each key
// is declared once, as a field of Config; its name in the file, in the environment and as a flag follow from that.
// Everything that is wrong is reported at once, with the place where it stands.
package config

import (
	"log/slog"
	"time"

	"github.com/roxyhub/roxy"
)

// Config is every key. The yaml tag names it, the doc tag explains it in docs/configuration.md.
type Config struct {
	Listen         []Address  `yaml:"listen" doc:"addresses of the public listener"`
	TLS            TLS        `yaml:"tls"`
	Admin          Admin      `yaml:"admin"`
	Data           Path       `yaml:"data" doc:"the embedded engine's folder; one hub at a time uses it"`
	Engine         EngineName `yaml:"engine" doc:"where events are kept: disk"`
	Auth           Auth       `yaml:"auth"`
	CORS           CORS       `yaml:"cors"`
	Policy         Policy     `yaml:"policy"`
	Retention      Retention  `yaml:"retention"`
	Audit          Audit      `yaml:"audit"`
	Stream         Stream     `yaml:"stream"`
	Mailbox        Mailbox    `yaml:"mailbox"`
	Presence       Presence   `yaml:"presence"`
	Drain          Drain      `yaml:"drain"`
	Limits         Limits     `yaml:"limits"`
	Webhook        Webhook    `yaml:"webhook"`
	Schemas        Path       `yaml:"schemas" doc:"folder of JSON Schemas (*.json) that the data of events and entities is checked against; empty for none"`
	TrustedProxies []Network  `yaml:"trustedProxies" doc:"networks of reverse proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8"`
	Log            Log        `yaml:"log"`
}

// TLS encrypts the public listener, with a certificate of its own or an automatic one.
type TLS struct {
	Certificate Path     `yaml:"certificate" doc:"PEM file of the certificate and its chain, read again when it changes; the public listener then speaks TLS"`
	Key         Path     `yaml:"key" doc:"PEM file of its private key"`
	Domains     []string `yaml:"domains" doc:"instead of files: names for which certificates are obtained and renewed by themselves (ACME); port 443 of them must lead to the first public listener"`
	Email       string   `yaml:"email" doc:"where the authority of automatic certificates may write to"`
	Authority   string   `yaml:"authority" doc:"ACME directory of the authority; empty for Let's Encrypt"`
}

// On reports whether the public listener speaks TLS.
func (t *TLS) On() bool { return t.Certificate != "" || len(t.Domains) > 0 }

// Admin is the operator's listener.
type Admin struct {
	Listen Address `yaml:"listen" doc:"address of the operator's listener; keep it on loopback or behind a firewall"`
}

// Auth says whose tokens are believed.
type Auth struct {
	Keys     []Key         `yaml:"keys" doc:"what tokens are verified with: {alg, and one of secret, secretFile, publicKeyFile, jwksURL}"`
	Issuer   string        `yaml:"issuer" doc:"the iss that a token must have, when set"`
	Audience string        `yaml:"audience" doc:"the aud that a token must have, when set"`
	Leeway   time.Duration `yaml:"leeway" doc:"how far the issuer's clock may be from ours"`
	Cookie   string        `yaml:"cookie" doc:"the cookie that may carry a token; empty for none"`
	Claims   Claims        `yaml:"claims"`
}

// Key is one way to verify tokens.
type Key struct {
	Alg           string `yaml:"alg"`
	Secret        Secret `yaml:"secret"`
	SecretFile    Path   `yaml:"secretFile"`
	PublicKeyFile Path   `yaml:"publicKeyFile"`
	JWKSURL       string `yaml:"jwksURL"`
}

// Claims says where a token holds what the hub asks for.
type Claims struct {
	Tenant string `yaml:"tenant" doc:"claim, or path of claims such as org.id, that holds the tenant"`
	Roles  string `yaml:"roles" doc:"claim, or path of claims such as realm_access.roles, that holds the roles"`
}

// CORS says whose pages may call the hub.
type CORS struct {
	Origins     []string `yaml:"origins" doc:"origins whose pages may call the hub, such as https://bar.example"`
	Credentials bool     `yaml:"credentials" doc:"whether they may send the cookie"`
}

// Policy says what roles may do. It is reloaded on SIGHUP and when the file changes.
type Policy struct {
	Roles map[string]Role `yaml:"roles" doc:"role: {read: [patterns], publish: [patterns], write: [patterns], admin: false}"`
	// Fields is what FieldRules are made of.
	Fields map[string]map[string][]string `yaml:"fields" doc:"pattern: {field.path: [roles that may see it]}, in entities and in the data of events; fields that no pattern names are for all"`
}

// Role is what a role grants.
type Role struct {
	Read    []roxy.Pattern `yaml:"read"`
	Publish []roxy.Pattern `yaml:"publish"`
	Write   []roxy.Pattern `yaml:"write"`
	Admin   bool           `yaml:"admin"`
}

// Retention bounds each tenant's log.
type Retention struct {
	Age    time.Duration `yaml:"age" doc:"how long a tenant's events are kept; 0s for ever"`
	Events uint64        `yaml:"events" doc:"how many of a tenant's events are kept; 0 for all"`
	Bytes  Size          `yaml:"bytes" doc:"how many bytes of a tenant's events are kept; 0 for all"`
}

// Audit bounds each tenant's audit trail and says what it tells of.
type Audit struct {
	Age       time.Duration `yaml:"age" doc:"how long a tenant's audit rows are kept; 0s for ever"`
	Bytes     Size          `yaml:"bytes" doc:"how many bytes of a tenant's audit rows are kept; 0 for all"`
	Publishes bool          `yaml:"publishes" doc:"whether every publish and mutation has an audit row; critical events always have"`
}

// Stream says how streams behave.
type Stream struct {
	Heartbeat   time.Duration            `yaml:"heartbeat" doc:"how often an idle stream beats when it does not say"`
	Queue       Queue                    `yaml:"queue"`
	Coalesce    map[string]time.Duration `yaml:"coalesce" doc:"pattern: how long its events may wait for others, to go out in one write; up to 100ms, and not for urgent ones"`
	Compression Compression              `yaml:"compression" doc:"gzip for streams, and permessage-deflate for WebSockets, whose clients take it; or off"`
}

// Queue is what is kept for streams that are behind.
type Queue struct {
	Bytes  Size `yaml:"bytes" doc:"a stream further behind reads on from the durable log, or is closed as slow when its socket is stuck"`
	Events int  `yaml:"events" doc:"the same in events"`
}

// Mailbox bounds what may wait for a device.
type Mailbox struct {
	Events int           `yaml:"events" doc:"how many events may wait for a device before it is told to refetch (overflow)"`
	Age    time.Duration `yaml:"age" doc:"how long an event may wait for a device; a device that was away longer is none that a critical event is for"`
}

// Presence says who counts as present.
type Presence struct {
	Grace time.Duration `yaml:"grace" doc:"how long somebody whose last connection ended still counts as present, so that bad Wi-Fi is no coming and going"`
}

// Drain says how the hub leaves.
type Drain struct {
	Over time.Duration `yaml:"over" doc:"when the hub stops, its streams are told to go one after the other over this, sooner when they are fewer than 200 a second"`
}

// Limits bounds what clients take.
type Limits struct {
	Connections     Connections `yaml:"connections"`
	Publish         Rate        `yaml:"publish" doc:"of one user"`
	PublishTenant   Rate        `yaml:"publishTenant" doc:"of all users of one tenant"`
	Acks            Calls       `yaml:"acks" doc:"by which a user's devices acknowledge, or are forgotten"`
	OpenAcks        int         `yaml:"openAcks" doc:"critical events of one tenant that wait for their confirmation"`
	DevicesPerUser  int         `yaml:"devicesPerUser" doc:"devices of one user that are known"`
	Replay          Rate        `yaml:"replay" doc:"events that are read for streams that catch up, and given to them, all together; 2 KiB that others are given too count as one"`
	Event           Size        `yaml:"event" doc:"bytes of one event"`
	Batch           int         `yaml:"batch" doc:"events of one publish"`
	TopicsPerStream int         `yaml:"topicsPerStream" doc:"patterns of one stream"`
}

// Connections bounds live streams.
type Connections struct {
	PerIP         int `yaml:"perIP" doc:"live streams of one address (IPv6: of one /64)"`
	PerUser       int `yaml:"perUser" doc:"live streams of one user"`
	PerTenant     int `yaml:"perTenant" doc:"live streams of one tenant"`
	AttemptsPerIP int `yaml:"attemptsPerIP" doc:"connection attempts per second of one address"`
}

// Rate bounds publishing.
type Rate struct {
	Rate  float64 `yaml:"rate" doc:"events per second"`
	Burst int     `yaml:"burst" doc:"events at once"`
}

// Calls bounds calls.
type Calls struct {
	Rate  float64 `yaml:"rate" doc:"calls per second"`
	Burst int     `yaml:"burst" doc:"calls at once"`
}

// Webhook says where dead letters are posted to.
type Webhook struct {
	URL        string `yaml:"url" doc:"where dead letters, critical events that nobody confirmed, are posted to, signed and until it takes them; https, or http to this machine; empty for nowhere"`
	Secret     Secret `yaml:"secret" doc:"what they are signed with: whsec_ and Base64, or 24 to 64 bytes"`
	SecretFile Path   `yaml:"secretFile" doc:"the file that holds it, instead"`
}

// Log says what is logged, and how.
type Log struct {
	Level  LogLevel  `yaml:"level" doc:"debug, info, warn or error"`
	Format LogFormat `yaml:"format" doc:"json or text"`
}

// Default returns the configuration of a file that says nothing.
func Default() *Config {
	return &Config{
		Listen:    []Address{"127.0.0.1:8080"},
		Admin:     Admin{Listen: "127.0.0.1:8081"},
		Data:      "data",
		Engine:    "disk",
		Auth:      Auth{Leeway: 5 * time.Second, Cookie: "roxy_token", Claims: Claims{Tenant: "tenant", Roles: "roles"}},
		CORS:      CORS{Credentials: true},
		Retention: Retention{Age: 168 * time.Hour, Events: 1_000_000, Bytes: 4 << 30},
		Audit:     Audit{Age: 720 * time.Hour, Bytes: 1 << 30, Publishes: true},
		Stream:    Stream{Heartbeat: 15 * time.Second, Queue: Queue{Bytes: 1 << 20, Events: 1000}, Compression: "gzip"},
		Mailbox:   Mailbox{Events: 1000, Age: 24 * time.Hour},
		Presence:  Presence{Grace: 20 * time.Second},
		Drain:     Drain{Over: 30 * time.Second},
		Limits: Limits{
			Connections:   Connections{PerIP: 100, PerUser: 20, PerTenant: 10_000, AttemptsPerIP: 50},
			Publish:       Rate{Rate: 100, Burst: 200},
			PublishTenant: Rate{Rate: 10_000, Burst: 20_000},
			Acks:          Calls{Rate: 100, Burst: 200},
			OpenAcks:      10_000, DevicesPerUser: 100,
			Replay: Rate{Rate: 1_000_000, Burst: 500_000},
			Event:  64 << 10, Batch: 1000, TopicsPerStream: 64,
		},
		Log: Log{Level: LogLevel(slog.LevelInfo), Format: "json"},
	}
}
