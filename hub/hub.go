// Package hub turns committed events into deliveries. It owns the topic index and the classes and keeps nothing
// durable: what survives a crash is the engine's, unsent bytes are the fan-out's.
package hub
