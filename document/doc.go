// Package document computes with entities as bytes: their canonical JSON, merge patches (RFC 7396), what changed between
// two states, and what a view leaves out of one. It owns no storage, no schema and no rule about who has which view.
//
// Canonical is compact JSON whose members stand in the order of the bytes of their quoted names, none repeated, with
// strings spelled in one way and numbers as they were sent. Two canonical values are the same if and only if their bytes
// are. [Document] and [Patch] make canonical bytes of bytes from outside; everything else takes canonical bytes, trusts
// them, and returns canonical bytes. Nil is absence. Results may share memory with what they were made of: nobody
// writes to either.
package document
