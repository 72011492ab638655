package deflate

import (
	"encoding/binary"
	"hash/crc32"
)

// Header begins a gzip member: no name, no time, an unknown system (RFC 1952 §2.3).
const Header = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// Sum is what a gzip trailer says of plain text: its CRC-32 and its length. Sums of parts make that of the whole, so that
// what many streams have in common is summed once.
type Sum struct {
	crc uint32
	n   uint64
}

// With returns the sum of what s sums and p behind it.
func (s Sum) With(p []byte) Sum {
	return Sum{crc32.Update(s.crc, crc32.IEEETable, p), s.n + uint64(len(p))}
}

// Then returns the sum of what s sums and what next sums behind it.
func (s Sum) Then(next Sum) Sum {
	return Sum{shift(s.crc, next.n) ^ next.crc, s.n + next.n}
}

// Since returns the sum of what s sums behind its beginning, which before sums.
func (s Sum) Since(before Sum) Sum {
	n := s.n - before.n
	return Sum{s.crc ^ shift(before.crc, n), n}
}

// AppendTrailer ends the fragments, and the gzip member whose plain text s sums.
func (s Sum) AppendTrailer(dst []byte) []byte {
	dst = append(dst, 0x03, 0x00) // an empty last block
	dst = binary.LittleEndian.AppendUint32(dst, s.crc)
	return binary.LittleEndian.AppendUint32(dst, uint32(s.n)) //nolint:gosec // modulo 2^32, as the format wants it
}

// shift returns the CRC-32 of what crc stands for followed by n zero bytes, up to the inversions, which cancel out in
// sums of two: crc·x^(8n) modulo the polynomial (as zlib's crc32_combine).
func shift(crc uint32, n uint64) uint32 {
	product := uint32(1) << 31 // x^0: bits are reflected
	power := uint32(1) << (31 - 8)
	for ; n != 0; n >>= 1 {
		if n&1 != 0 {
			product = multiply(product, power)
		}
		power = multiply(power, power)
	}
	return multiply(product, crc)
}

// multiply returns a·b modulo the polynomial of CRC-32.
func multiply(a, b uint32) (product uint32) {
	for a != 0 {
		if a>>31 != 0 {
			product ^= b
		}
		a <<= 1
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return product
}
