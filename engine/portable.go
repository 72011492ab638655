package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/roxyhub/roxy"
)

// Restorer is the part of an engine that takes in a tenant from elsewhere: with its epoch and its offsets, so that
// whoever follows it goes on with the cursor they have. Its methods may be called from any goroutine. What Log.Read and
// Snapshot tell of a tenant at one position is what Restore wants of it.
//
// From the first part on until the last, or until it is abandoned, the tenant is nobody's: Commit, Mutate, Cancel,
// Results, Bounds, Entity and Snapshot refuse it as roxy.NotReady. What is half there could only be mistaken for the whole.
type Restorer interface {
	// Restore takes in one part, in one step: when it returns nil the part survives a power cut. The first part begins the
	// restoration and asks for a tenant whose log was never written to; the next ones go on with it, and what they repeat of
	// events and entities is passed over, so that after an unknown outcome the caller repeats the part. Ids younger
	// than 24 h of events and of their mutations are known from then on, as if they had been committed here.
	// Errors: *roxy.Problem, of roxy.NotEmpty when the tenant holds anything that is no beginning of part.Of, of
	// roxy.InvalidImport when the part does not fit, and those of Log.Commit. Nothing is changed by what is refused.
	Restore(ctx context.Context, tenant string, part Restoration) (Restored, error)
	// Restored tells how far the tenant's restoration is.
	Restored(ctx context.Context, tenant string) (Restored, error)
	// Abandon ends a restoration under way and empties the tenant again, ids included. Its log begins a new epoch.
	// Without a restoration under way it is refused as roxy.NotEmpty.
	Abandon(ctx context.Context, tenant string) error
}

// Restoration is one part of what is restored. All parts have the same Of. The events come first, then the entities, then
// the end; one part may hold some of each.
type Restoration struct {
	Of     Bounds       // the log that is restored: its epoch, its first event, and its head, which is the position of the entities
	Events []roxy.Event // with Offset, Time and By as they were read, one offset after another
	States []State      // sorted by topic
	End    bool         // nothing follows: the tenant is whole and open from now on
	// Entities is how many States all parts together hold; only looked at with End.
	Entities uint64
}

// Restored is how far a restoration is.
type Restored struct {
	Running  bool
	Of       Bounds     // the log that is being restored; zero unless Running
	Epoch    string     // of the log as it is; "" when there is none yet
	Head     uint64     // up to which it holds the events
	Topic    roxy.Topic // up to which the entities are there; zero for none of them, and unless Running
	Entities uint64     // that are there; 0 unless Running
}

// Check returns a *roxy.Problem unless r is one part of a restoration: whether it fits to what is there is the engine's to
// say. The problem's member is events[i] or states[i] where one of them is at fault.
func (r *Restoration) Check() error {
	of := r.Of
	if _, err := roxy.ParseCursor(roxy.Cursor{Epoch: of.Epoch}.String()); err != nil {
		return faultIn("epoch", "%q is not 1–%d of a-z 0-9", of.Epoch, roxy.MaxEpochBytes)
	}
	if of.First == 0 || of.First > of.Head+1 || of.Head+1 == 0 {
		return faultIn("first", "a log from %d to %d", of.First, of.Head)
	}
	for i := range r.Events {
		var before *roxy.Event
		if i > 0 {
			before = &r.Events[i-1]
		}
		if err := r.checkEvent(before, &r.Events[i]); err != nil {
			return faultIn(fmt.Sprintf("events[%d]", i), "event %d: %w", r.Events[i].Offset, err)
		}
	}
	for i := range r.States {
		s := &r.States[i]
		err := r.checkState(s)
		if i > 0 && err == nil && r.States[i-1].Topic.String() >= s.Topic.String() {
			err = fmt.Errorf("it comes behind %s, and entities are sorted by topic", r.States[i-1].Topic)
		}
		if err != nil {
			return faultIn(fmt.Sprintf("states[%d]", i), "entity %s: %w", s.Topic, err)
		}
	}
	return nil
}

func (r *Restoration) checkEvent(before, e *roxy.Event) error {
	switch {
	case e.Topic == roxy.Topic{}:
		return errors.New("it has no topic")
	case e.Type == "":
		return errors.New("it has no type")
	case e.Ephemeral || e.TTL < 0:
		return errors.New("it is none of a log")
	case e.Offset < r.Of.First || e.Offset > r.Of.Head:
		return fmt.Errorf("the log goes from %d to %d", r.Of.First, r.Of.Head)
	case before != nil && e.Offset != before.Offset+1:
		return fmt.Errorf("it comes behind event %d", before.Offset)
	case before != nil && e.Time.Before(before.Time):
		return fmt.Errorf("it is of %s, before the one before it", e.Time)
	case e.Time.IsZero() || e.Time.UnixNano() < 0:
		return errors.New("it has no time")
	case e.Change == nil:
		return nil
	case e.Data != nil:
		return errors.New("the event of a change has no data")
	case e.Change.Version == 0:
		return errors.New("a change makes a version from 1 on")
	}
	if known := ops(); !slices.Contains(known[:], e.Change.Op) {
		return fmt.Errorf("op %q is none of put, patch and delete", e.Change.Op)
	}
	return nil
}

func (r *Restoration) checkState(s *State) error {
	switch {
	case s.Topic == roxy.Topic{}:
		return errors.New("it has no topic")
	case s.Version == 0:
		return errors.New("versions begin with 1")
	case s.Offset == 0 || s.Offset > r.Of.Head:
		return fmt.Errorf("it was changed at %d, and the log goes up to %d", s.Offset, r.Of.Head)
	case s.Time.IsZero() || s.Time.UnixNano() < 0:
		return errors.New("it has no time")
	case s.Forgotten > s.Version:
		return fmt.Errorf("it forgot version %d and is at %d", s.Forgotten, s.Version)
	case !slices.IsSortedFunc(s.Marks, compareMarks):
		return errors.New("its marks are not sorted by field and part")
	}
	for i := range s.Marks {
		if s.Marks[i].Version > s.Version {
			return fmt.Errorf("its field %q was changed in version %d, and it is at %d", s.Marks[i].Field, s.Marks[i].Version, s.Version)
		}
	}
	return nil
}

func faultIn(member, format string, args ...any) error {
	return &roxy.Problem{Code: roxy.InvalidImport, Member: member, Detail: fmt.Errorf(format, args...).Error()}
}
