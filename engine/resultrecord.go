package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/roxyhub/roxy"
)

// Result is what an engine keeps of a mutation with an ID: what became of it, for as long as an event's key is kept.
type Result struct {
	Print [16]byte  // roxy.Mutation.Fingerprint; zero for a mutation that was cancelled before it was seen
	Kept  time.Time // since when
	roxy.MutationResult
}

// A result record is a Result without its ID, which is part of the key:
//
//	format 1 · print 16 · kept 8 (Unix nanoseconds) · outcome 1
//	version · offset · epoch · topic · the problem as JSON, empty for none · CRC-32C of all before, 4
const (
	resultFormat = 1
	resultFixed  = 1 + 16 + 8 + 1

	resultCreated = 1 << 7 // beside the outcome
)

// outcomes are spelled by their place.
func outcomes() [3]roxy.Outcome {
	return [...]roxy.Outcome{roxy.Committed, roxy.Refused, roxy.Cancelled}
}

// refusal is a problem as it is stored: what was said of the mutation, and nothing of what it met, which is told anew
// in the view of whoever asks.
type refusal struct {
	Code       roxy.Code        `json:"code"`
	Member     string           `json:"member,omitempty"`
	Detail     string           `json:"detail,omitempty"`
	Fields     []string         `json:"fields,omitempty"`
	Violations []roxy.Violation `json:"violations,omitempty"`
}

// AppendResult appends r as a record.
func AppendResult(dst []byte, r *Result) []byte {
	start := len(dst)
	dst = append(dst, resultFormat)
	dst = append(dst, r.Print[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Kept.UnixNano()))
	code := byte(0)
	for i, o := range outcomes() {
		if o == r.Outcome {
			code = byte(i)
		}
	}
	if r.Created {
		code |= resultCreated
	}
	dst = append(dst, code)
	dst = binary.AppendUvarint(dst, r.Version)
	dst = binary.AppendUvarint(dst, r.Cursor.Offset)
	dst = appendString(dst, r.Cursor.Epoch)
	dst = appendString(dst, r.Topic.String())
	problem := ""
	if p := r.Problem; p != nil {
		stored := refusal{Code: p.Code, Member: p.Member, Detail: p.Detail, Violations: p.Violations}
		if p.Conflict != nil {
			stored.Fields = p.Conflict.Fields
		}
		text, err := json.Marshal(stored)
		if err != nil {
			panic("BUG: a problem of strings does not marshal: " + err.Error())
		}
		problem = string(text)
	}
	dst = appendString(dst, problem)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli()))
}

// ReadResult returns the Result of a record, without its ID, or ErrCorrupt.
func ReadResult(record []byte) (Result, error) {
	r, err := readResult(record)
	if err != nil {
		return Result{}, fmt.Errorf("%w: a mutation's result: %w", ErrCorrupt, err)
	}
	return r, nil
}

func readResult(record []byte) (Result, error) {
	if len(record) < resultFixed+recordCRC {
		return Result{}, fmt.Errorf("a record of %d bytes", len(record))
	}
	end := len(record) - recordCRC
	if crc32.Checksum(record[:end], castagnoli()) != binary.BigEndian.Uint32(record[end:]) {
		return Result{}, errors.New("a wrong checksum")
	}
	known, code := outcomes(), record[resultFixed-1]
	if record[0] != resultFormat || int(code&^resultCreated) >= len(known) {
		return Result{}, fmt.Errorf("format %d, outcome %d", record[0], code)
	}
	r := Result{Print: [16]byte(record[1:17]), Kept: time.Unix(0, int64(binary.BigEndian.Uint64(record[17:])))} //nolint:gosec // as AppendResult wrote it
	r.Outcome, r.Created = known[code&^resultCreated], code&resultCreated != 0
	f := &fields{rest: record[resultFixed:end]}
	r.Version, r.Cursor.Offset, r.Cursor.Epoch = f.uvarint(), f.uvarint(), string(f.bytes())
	topic, problem := f.bytes(), f.bytes()
	if f.err == nil && len(f.rest) > 0 {
		f.err = fmt.Errorf("%d bytes too many", len(f.rest))
	}
	if f.err != nil {
		return Result{}, f.err
	}
	if len(topic) > 0 {
		var err error
		if r.Topic, err = roxy.ParseTopic(string(topic)); err != nil {
			return Result{}, err
		}
	}
	if len(problem) > 0 {
		var stored refusal
		if err := json.Unmarshal(problem, &stored); err != nil {
			return Result{}, err
		}
		r.Problem = &roxy.Problem{Code: stored.Code, Member: stored.Member, Detail: stored.Detail, Violations: stored.Violations}
		if stored.Code == roxy.VersionConflict {
			r.Problem.Conflict = &roxy.Conflict{Fields: stored.Fields}
		}
	}
	return r, nil
}

// Answer returns what is told of the result to the author of a repetition with this fingerprint: the stored result as a
// duplicate, a *Refusal's problem when it was refused or cancelled, or KeyReused when it was another mutation.
func (r *Result) Answer(id string, fingerprint [16]byte) (roxy.MutationResult, *roxy.Problem) {
	switch {
	case r.Outcome == roxy.Cancelled:
		return roxy.MutationResult{}, CancelledProblem()
	case r.Print != fingerprint:
		return roxy.MutationResult{}, ReusedProblem()
	case r.Outcome == roxy.Refused:
		return roxy.MutationResult{}, r.Problem
	}
	out := r.MutationResult
	out.ID, out.Duplicate = id, true
	return out, nil
}

// CancelledProblem is the refusal of a mutation that was cancelled before it came.
func CancelledProblem() *roxy.Problem {
	return &roxy.Problem{Code: roxy.WasCancelled, Member: "id", Detail: "the mutation was cancelled before it came; nothing was changed"}
}

// ReusedProblem is the refusal of a mutation whose ID another one had.
func ReusedProblem() *roxy.Problem {
	return &roxy.Problem{Code: roxy.KeyReused, Member: "id", Detail: "the id was used for another mutation before"}
}
