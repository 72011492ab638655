/** The client of a Roxy hub. The wire it speaks is docs/protocol.md. */
export {};
