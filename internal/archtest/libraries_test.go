package archtest

// library is one thing from outside our module and who may import it.
type library struct {
	prefix string   // of import paths
	rooms  []string // whose code may; nil is none
	tests  bool     // everybody's tests may
	why    string
}

// libraries has a row for every import that is neither ours nor the standard library's, and for those of the standard
// library that not everybody may use. The first row whose prefix fits counts.
func libraries() []library {
	return []library{
		// net/http/pprof registers on the default mux, which is why it has one importer, who serves another one.
		{"net/http/pprof", []string{"admin"}, false, "profiles are the operator's"},
		{"net/http", []string{
			"auth", "transport/sse", "transport/ws", "transport/transporttest", "httpapi", "admin", "internal/telemetry", "client", "cmd/roxy", "internal/config",
			"internal/bench", "internal/faultproxy", "internal/testkit", "webhook", "examples/bar", "examples/bar/play", "examples/bar/serve", "bench/classes", "bench/replay", "bench/storm",
		}, true, "the core knows no HTTP: the next transport has none (internal/config reads origins and cookie names)"},
		{"database/sql", nil, false, "an engine is a folder below engine/"},
		{"expvar", nil, false, "it publishes on the default mux; metrics are internal/telemetry's"},
		{"unsafe", []string{"internal/fanout"}, false, "a system call that the scheduler need not know of takes a pointer; nothing else is worth it"},

		{"github.com/cockroachdb/pebble/v2/vfs", []string{"engine/disk", "transport/transporttest"}, true, "tests give the engine a file system in memory"},
		{"github.com/cockroachdb/pebble/v2", []string{"engine/disk"}, false, "the store is the engine's own business"},
		{"github.com/golang-jwt/jwt/v5", []string{"auth"}, true, "identities are made in one place; tests make tokens that it must refuse"},
		{"github.com/MicahParks/", []string{"auth"}, true, "signing keys, as above"},
		{"golang.org/x/time/rate", []string{"limit", "hub"}, false, "limits of clients are counted in one place; that of replays is the hub's own"},
		{"github.com/KimMachineGun/automemlimit/", []string{"cmd/roxy"}, false, "what a container may have is read at the start"},
		{"github.com/cloudevents/sdk-go/v2", []string{"httpapi"}, true, "a format of the public listener"},
		{"github.com/gobwas/", []string{"transport/ws"}, true, "handshake and frames of WebSocket; tests are clients"},
		{"github.com/klauspost/compress/flate", []string{"internal/deflate", "transport/ws"}, true, "the compressor can begin behind a window, and inflating has a limit"},
		{"github.com/santhosh-tekuri/jsonschema/v6", []string{"schema"}, true, "what a schema means; what is told of a violation is the package's own words. Tests hold the documents that the hub serves of itself to their specifications"},
		{"github.com/rs/cors", []string{"httpapi"}, false, "browsers talk to the public listener only"},
		{"github.com/prometheus/", []string{"internal/telemetry"}, false, "the core counts in atomics and does not know who reads them"},
		{"github.com/spf13/", []string{"cmd/roxy"}, false, "the command line"},
		{"github.com/knadh/koanf/", []string{"internal/config"}, false, "configuration"},
		{"github.com/goccy/go-yaml", []string{"internal/config"}, true, "configuration; tests check that examples are valid"},
		{"gopkg.in/yaml.v3", nil, false, "goccy/go-yaml tells the line of an error"},
		{"github.com/go-json-experiment/json", []string{
			"document", "portable", "transport/ws", "httpapi", "admin", "client", "cmd/roxy", "examples/bar", "examples/bar/evening", "examples/bar/serve", "internal/testkit", "test/faultproxy",
		}, true, "strict JSON, wherever bytes come from outside"},
		{"github.com/evanphx/json-patch/v5", nil, true, "another reading of RFC 7396, to hold ours against"},
		{"github.com/caddyserver/certmagic", []string{"internal/certificate"}, false, "certificates that an authority issues"},
		{"go.uber.org/zap", []string{"internal/certificate"}, false, "what certmagic logs with"},
		{"golang.org/x/net/dns/dnsmessage", []string{"test/e2e"}, true, "the names that an authority looks up in a test"},
		{"golang.org/x/sys/unix", []string{"engine/disk", "internal/fanout"}, true, "what the file system can tell; sockets of our own"},

		{"github.com/evanphx/json-patch/v5", nil, true, "tests: another's merge patches, to compare with"},
		{"github.com/anishathalye/porcupine", nil, true, "decides whether a history is linearizable; tests"},
		{"go.uber.org/goleak", nil, true, "tests"},
		{"pgregory.net/rapid", []string{"engine/enginetest"}, true, "tests; enginetest is one"},
	}
}
