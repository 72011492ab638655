package document_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/roxyhub/roxy/document"
)

// fifty returns a document of 50 fields and about 2 KB, some of them nested.
func fifty(changed string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"customer":{"name":"Ann","phone":"` + changed + `","address":{"city":"Oslo"}},"lines":[{"sku":"a","cost":1.5},{"sku":"b","cost":2}]`)
	for i := range 48 {
		fmt.Fprintf(&b, `, "field_%02d": "some text of it %d"`, (i*7)%48, i)
	}
	b.WriteString(`}`)
	return b.Bytes()
}

func BenchmarkDocument(b *testing.B) {
	raw := fifty("1")
	b.SetBytes(int64(len(raw)))
	bench(b, func() {
		if _, err := document.Document(raw); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkDocumentInOrder(b *testing.B) {
	raw := bytesOf(b, decode(b, fifty("1")))
	bench(b, func() {
		if _, err := document.Document(raw); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	was, patch := bytesOf(b, decode(b, fifty("1"))), []byte(`{"customer":{"phone":"2"},"field_07":"new"}`)
	bench(b, func() { document.Merge(was, patch) })
}

func BenchmarkDiff(b *testing.B) {
	was, now := bytesOf(b, decode(b, fifty("1"))), bytesOf(b, decode(b, fifty("2")))
	bench(b, func() { document.Diff(was, now, nil) })
}

func BenchmarkRedact(b *testing.B) {
	doc, h := bytesOf(b, decode(b, fifty("1"))), document.NewHidden(parseAll(b, "customer.phone", "lines.cost", "field_01")...)
	bench(b, func() { h.Redact(doc) })
}

func BenchmarkViewDelta(b *testing.B) {
	was, now := bytesOf(b, decode(b, fifty("1"))), bytesOf(b, decode(b, fifty("2")))
	tracked := parseAll(b, "customer.phone", "lines.cost", "field_01")
	h, whole := document.NewHidden(tracked...), document.NewParts(tracked...).Whole()
	undo, patch := document.Diff(now, was, whole), document.Diff(was, now, whole)
	bench(b, func() { h.ViewDelta(undo, patch) })
}

func bench(b *testing.B, do func()) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		do()
	}
}
