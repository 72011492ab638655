package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/internal/config"
	"github.com/roxyhub/roxy/portable"
	"github.com/roxyhub/roxy/schema"
)

// maxReports bounds how many violations are told one by one.
const maxReports = 100

// dataCheck holds entities against schemas.
type dataCheck struct {
	schemas    *schema.Set
	out        io.Writer
	entities   int // that were held against a schema
	others     int // that have none
	bad        int
	violations int
}

// checkData holds the entities of the configured data folder, or of an export, against the schemas of c.
func checkData(ctx context.Context, out io.Writer, c *config.Loaded, export string) error {
	if c.Schemas == nil {
		return errors.New("the configuration names no schemas: set its key schemas to their folder")
	}
	d := &dataCheck{schemas: c.Schemas, out: out}
	var err error
	if export != "" {
		err = d.export(export)
	} else {
		err = d.store(ctx, string(c.Data))
	}
	if err != nil {
		return err
	}
	if d.violations > maxReports {
		_, _ = fmt.Fprintf(out, "… and %d more\n", d.violations-maxReports)
	}
	if d.bad > 0 {
		return fmt.Errorf("%d of %d entities are not as their schemas say, in %d places; %d have no schema", d.bad, d.entities, d.violations, d.others)
	}
	_, err = fmt.Fprintf(out, "  holds       %d entities that are as their schemas say, and %d without a schema\n", d.entities, d.others)
	return err
}

// store checks all tenants of a data folder, which no hub may have open.
func (d *dataCheck) store(ctx context.Context, folder string) (err error) {
	if _, err := os.Stat(folder); err != nil {
		return err // Open would make it
	}
	store, err := disk.Open(folder, disk.Options{})
	if errors.Is(err, syscall.EAGAIN) {
		return fmt.Errorf("a hub has the folder %s open: stop it, or check what it exports: roxy export --out EXPORT.ndjson, then roxy check FILE --data EXPORT.ndjson", folder)
	}
	if err != nil {
		return fmt.Errorf("open the data in %s: %w", folder, err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	names, err := store.Tenants()
	if err != nil {
		return err
	}
	for _, name := range names {
		if engine.SystemTenant(name) {
			continue
		}
		if err := d.tenant(ctx, store, name); err != nil {
			return err
		}
	}
	return nil
}

func (d *dataCheck) tenant(ctx context.Context, store *disk.Engine, name string) error {
	snapshot, err := store.Snapshot(ctx, name)
	if err != nil {
		return err
	}
	defer snapshot.Close()
	for s, err := range snapshot.States(ctx, roxy.Topic{}) {
		if err != nil {
			return err
		}
		d.entity(name, &s.Entity)
	}
	return nil
}

// export checks the entities of an export, and that it is whole.
func (d *dataCheck) export(name string) error {
	file, err := os.Open(name) //nolint:gosec // the operator's choice
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	r, err := portable.NewReader(file)
	for err == nil {
		var l portable.Line
		if l, _, _, err = r.Next(); err == nil && l.State != nil {
			d.entity(r.Header.Tenant, &l.State.Entity)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (d *dataCheck) entity(tenant string, e *roxy.Entity) {
	if !e.Exists() {
		return
	}
	sc := d.schemas.Entity(e.Topic)
	if sc == nil {
		d.others++
		return
	}
	d.entities++
	err := sc.Validate(e.Data)
	if err == nil {
		return
	}
	d.bad++
	list := []schema.Violation{{Message: err.Error()}}
	if v, ok := errors.AsType[*schema.Violations](err); ok {
		list = v.List
	}
	for _, v := range list {
		if d.violations++; d.violations <= maxReports {
			_, _ = fmt.Fprintf(d.out, "%s  %s  %s: %s: %s (%s)\n", tenant, e.Topic, orRoot(v.Pointer), v.Keyword, v.Message, sc.File())
		}
	}
}

func orRoot(pointer string) string {
	if pointer == "" {
		return "/"
	}
	return pointer
}
