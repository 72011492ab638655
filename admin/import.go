package admin

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/portable"
)

// importTime is how long a request may take to send a batch.
const importTime = time.Minute

// imported is how far an import is.
type imported struct {
	Running  bool   `json:"running"`
	Epoch    string `json:"epoch"`          // of the tenant's log; "" when there is none yet
	Offset   uint64 `json:"offset"`         // up to which it holds the events
	First    uint64 `json:"first,omitzero"` // of the export that is taken in, and its head; only while running
	Head     uint64 `json:"head,omitzero"`
	Topic    string `json:"topic,omitzero"` // up to which the entities are there
	Entities uint64 `json:"entities,omitzero"`
}

func importedOf(r engine.Restored) imported {
	return imported{r.Running, r.Epoch, r.Head, r.Of.First, r.Of.Head, r.Topic.String(), r.Entities}
}

// importState answers GET /v1/admin/import: how far the import into the caller's tenant is.
func (a *api) importState(w http.ResponseWriter, r *http.Request, who roxy.Identity) error {
	restored, err := a.Hub.Imported(r.Context(), who.Tenant)
	if err != nil {
		return err
	}
	return answer(w, importedOf(restored))
}

// importBatch answers POST /v1/admin/import?line=1002 once the batch is durable. The body is the header of an export and
// some of its lines, the first of which is line number line.
func (a *api) importBatch(w http.ResponseWriter, r *http.Request, who roxy.Identity) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != ndjson {
		return &roxy.Problem{Code: roxy.UnsupportedMedia, Member: "Content-Type", Detail: "a batch of an export is sent as " + ndjson}
	}
	from := 2
	if query := r.URL.Query(); query.Has("line") {
		var err error
		if from, err = strconv.Atoi(query.Get("line")); err != nil || from < 2 {
			return invalid("line", "line: want the number of the first line behind the header, from 2 on", err)
		}
	}
	// Writers that know no deadlines are no sockets.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(importTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, portable.MaxBatch))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return err
		}
		return invalid("", "the body did not arrive whole", err)
	}
	batch, err := portable.ParseBatch(body, from)
	if err != nil {
		return err
	}
	if batch.Header.Tenant != who.Tenant {
		return &roxy.Problem{
			Code: roxy.InvalidImport, Member: "line 1",
			Detail: fmt.Sprintf("line 1: the export is of the tenant %q, and the token is of %q", batch.Header.Tenant, who.Tenant),
		}
	}
	restored, err := a.Hub.Import(r.Context(), who.Tenant, batch.Restoration)
	if err != nil {
		return inLines(batch, err)
	}
	if from == 2 {
		a.Hub.NoteAct(who, remoteOf(r), "import-begun", fmt.Sprintf("of a log up to %d", batch.Of.Head))
	}
	if batch.End {
		a.Hub.NoteAct(who, remoteOf(r), "import", fmt.Sprintf("of a log up to %d and %d entities", restored.Head, batch.Entities))
		a.Logger.LogAttrs(r.Context(), slog.LevelInfo, "imported",
			slog.String("tenant", who.Tenant), slog.String("by", who.User), slog.Uint64("head", restored.Head), slog.Uint64("entities", batch.Entities))
	}
	return answer(w, importedOf(restored))
}

// inLines says of which lines a refusal of the store is.
func inLines(b *portable.Batch, err error) error {
	p, ok := errors.AsType[*roxy.Problem](err)
	if !ok || p.Code != roxy.InvalidImport {
		return err
	}
	located := *p
	located.Member = fmt.Sprintf("line %d", b.From)
	located.Detail = fmt.Sprintf("lines %d to %d: %s", b.From, b.To, p.Detail)
	return &located
}

// abandonImport answers DELETE /v1/admin/import: what has been taken in is deleted.
func (a *api) abandonImport(w http.ResponseWriter, r *http.Request, who roxy.Identity) error {
	if err := a.Hub.AbandonImport(r.Context(), who.Tenant); err != nil {
		return err
	}
	a.Hub.NoteAct(who, remoteOf(r), "import-abandoned", "")
	return a.importState(w, r, who)
}
