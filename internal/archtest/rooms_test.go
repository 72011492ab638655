package archtest

// room is one package and what of ours it may import.
type room struct {
	path  string   // below the module; "" is the root
	may   []string // in its code
	tests []string // and in its tests besides
	why   string
}

// rooms has a row for every package: a new one is a decision, and so is each arrow. Outer rooms come later; nobody
// imports a row below their own.
func rooms() []room {
	return []room{
		{"", nil, nil, "the language of the domain: whoever imports us, Go clients among them, gets values and nothing else"},
		{"internal/measure", nil, nil, "counts for hot paths; a leaf, so that everybody may count"},
		{"internal/deflate", nil, nil, "bytes to bytes"},
		{"internal/fanout", []string{"internal/deflate"}, nil, "moves bytes and knows no events: that keeps it fast and testable alone"},

		{"document", []string{""}, nil, "entities as bytes: pure functions that know no store and no client"},
		{"engine", []string{"", "document"}, nil, "the contract between the hub and a store"},
		{"engine/enginetest", []string{"", "document", "engine"}, nil, "the contract as a test suite: it takes a constructor and knows no engine"},
		{"engine/disk", []string{"", "engine", "internal/measure"}, []string{"engine/enginetest"}, "one engine; it knows the contract and not who uses it"},
		{"portable", []string{"", "document", "engine"}, nil, "how a tenant travels: lines to values and back; it neither stores nor sends"},
		{"auth", []string{""}, nil, "who somebody is; whether a grant suffices is for the hub to say"},
		{"limit", []string{""}, nil, "how much somebody may"},

		{"webhook", []string{"", "engine"}, []string{"engine/disk"}, "a subscriber beside the hub, of dead letters alone: it knows the log and the world outside, not who is connected"},

		{"schema", []string{""}, nil, "what data must be; when it is checked, and who is told, is its callers' business"},
		{"schema/typescript", []string{"schema"}, nil, "schemas to text"},

		{"hub", []string{"", "document", "engine", "internal/deflate", "internal/fanout", "internal/measure", "schema"}, []string{"engine/disk", "transport/sse"}, "dispatch; it is told identities and takes any engine and transport"},

		{"transport", []string{"", "hub"}, nil, "what all transports share"},
		{"transport/transporttest", []string{"", "engine/disk", "hub", "internal/fanout"}, nil, "what every transport must do, as tests over a real log; it knows none of them"},
		{"transport/sse", []string{"", "hub", "transport"}, []string{"transport/transporttest"}, "one transport; it knows no other, and no listener"},
		{"transport/ws", []string{"", "hub", "internal/deflate", "transport"}, []string{"engine/disk", "transport/transporttest"}, "as above; what a listener decides it is handed"},
		{"httpapi", []string{"", "auth", "document", "hub", "limit", "transport", "transport/sse", "transport/ws"}, []string{"engine/disk"}, "the public listener; the engine is behind the hub"},
		{"admin", []string{"", "auth", "engine", "hub", "httpapi", "internal/measure", "portable"}, []string{"engine/disk", "limit"}, "the operator's listener; httpapi for its table of problems, so that both listeners refuse in the same words"},
		{"internal/telemetry", []string{"", "auth", "engine/disk", "hub", "internal/fanout", "internal/measure", "limit", "webhook"}, []string{"transport/sse"}, "reads everybody's Stats, so nobody but cmd may import it"},

		{"client", []string{"", "document"}, []string{"auth", "engine/disk", "httpapi", "hub", "internal/testkit", "limit"}, "for other people's programs: the wire contract and the values, nothing of the hub"},

		{"internal/bench", []string{"internal/measure"}, nil, "measures any hub from outside: of ours it knows nothing but how to count"},
		{"internal/faultproxy", nil, nil, "what networks do to bytes; of ours it knows nothing, so that it breaks everybody's alike"},
		{"internal/testkit", []string{"", "auth", "client"}, nil, "starts the real binary for tests; what it knows of a hub is what anybody knows from outside"},
		{"examples/bar", []string{"", "auth", "client"}, []string{"internal/testkit", "schema"}, "as a user's program would be written; auth signs its development tokens"},
		{"examples/bar/evening", []string{"", "examples/bar"}, nil, "writes the evening"},
		{"examples/bar/play", []string{"", "client", "examples/bar"}, nil, "plays it"},
		{"examples/bar/serve", []string{"", "client", "examples/bar"}, nil, "the backend of the bar's app: it knows the hub as anybody does, from outside"},

		{"internal/certificate", nil, []string{"internal/testkit"}, "which certificate is shown"},
		{"internal/config", []string{"", "auth", "schema", "webhook"}, nil, "a file's text made into values; the wiring turns them into options"},
		{"cmd/roxy", []string{"", "admin", "auth", "client", "engine", "engine/disk", "httpapi", "hub", "internal/bench", "internal/certificate", "internal/config", "internal/fanout", "internal/telemetry", "limit", "portable", "schema", "schema/typescript", "webhook", "examples/bar"}, []string{"internal/testkit"}, "the wiring diagram, and the only room that knows them all"},

		{"internal/archtest", nil, nil, "these rules"},
		{"bench/classes", []string{"auth"}, nil, "measures from outside, as users of many tenants"},
		{"bench/stuck", nil, nil, "measures from outside"},
		{"bench/storm", nil, nil, "measures from outside"},
		{"bench/replay", []string{"", "client"}, nil, "measures from outside"},
		{"test/faultproxy", []string{"internal/faultproxy"}, nil, "hands it to tests in other languages"},
		{"test/e2e", []string{"", "client"}, []string{"auth", "examples/bar", "internal/faultproxy", "internal/testkit"}, "proves the binary from outside"},
	}
}
