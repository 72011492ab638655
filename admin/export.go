package admin

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/portable"
)

const (
	ndjson = "application/x-ndjson"
	// exportTime is how long whoever reads an export may take over a piece of exportPiece bytes: meanwhile the store keeps
	// what it would have cleared away.
	exportTime  = time.Minute
	exportPiece = 64 << 10
)

// export answers GET /v1/admin/export with all that the caller's tenant is at one position, as lines of JSON. It is
// written as it is read. What goes wrong behind the first line ends the connection; the last line is missing then.
func (a *api) export(w http.ResponseWriter, r *http.Request, who roxy.Identity) error {
	snapshot, events, err := a.Hub.Export(r.Context(), who.Tenant)
	if err != nil {
		return err
	}
	defer snapshot.Close()
	a.Hub.NoteAct(who, remoteOf(r), "export", fmt.Sprintf("of the log up to %d", snapshot.Bounds().Head))
	h := w.Header()
	h.Set("Content-Type", ndjson)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	to := bufio.NewWriterSize(patient{w, http.NewResponseController(w)}, exportPiece)
	end, err := writeExport(to, who.Tenant, snapshot.Bounds(), events, snapshot.States(r.Context(), roxy.Topic{}))
	if err == nil {
		err = to.Flush()
	}
	names := []slog.Attr{slog.String("tenant", who.Tenant), slog.String("by", who.User)}
	if err != nil {
		a.Logger.LogAttrs(r.Context(), slog.LevelWarn, "export cut", append(names, slog.Any("error", err))...)
		panic(http.ErrAbortHandler) // so that the reader does not take it for the end
	}
	a.Logger.LogAttrs(r.Context(), slog.LevelInfo, "exported", append(names, slog.Uint64("events", end.Events), slog.Uint64("entities", end.Entities))...)
	return nil
}

func writeExport(
	to io.Writer, tenant string, of engine.Bounds, events iter.Seq2[roxy.Event, error], states iter.Seq2[engine.State, error],
) (end portable.End, err error) {
	out, err := portable.NewWriter(to, portable.Header{Tenant: tenant, Of: of, Time: time.Now()})
	if err != nil {
		return end, err
	}
	for e, err := range events {
		if err == nil {
			err = out.Event(&e)
		}
		if err != nil {
			return end, err
		}
	}
	for s, err := range states {
		if err == nil {
			err = out.State(&s)
		}
		if err != nil {
			return end, err
		}
	}
	return out.End()
}

// patient gives each piece its time.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p patient) Write(piece []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(exportTime)) // writers that know no deadlines are no sockets
	return p.ResponseWriter.Write(piece)
}
