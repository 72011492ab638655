package ws

import (
	"bytes"
	"io"
	"strings"

	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"

	"github.com/roxyhub/roxy/internal/deflate"
)

// lastBlock makes a message end: the mark that its sender left out, and an empty final block.
const lastBlock = deflate.SyncMark + "\x01\x00\x00\xff\xff"

// inflate returns the message that packed holds, of at most limit bytes: what would be longer is given up there. No
// decompressor is kept between messages: few are long enough to be compressed, and each would hold 40 KiB.
func inflate(packed []byte, limit int) ([]byte, error) {
	rest := strings.NewReader(lastBlock)
	r := flate.NewReader(io.MultiReader(bytes.NewReader(packed), rest))
	var out bytes.Buffer
	n, err := out.ReadFrom(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, &closeError{ws.StatusInvalidFramePayloadData, "a compressed message is no DEFLATE data"}
	case n > int64(limit):
		return nil, tooBig(limit)
	}
	return out.Bytes(), nil
}
