// Package scanhub holds the enricher: it reads scan.raw.v3, looks up the shipment
// and publishes scan.enriched.v2.
//
// The shape of this consumer is the result of INC-2024-117.  Three things in it
// look like details and are not:
//
//  1. group.instance.id is taken from the pod's ordinal (static membership).  A
//     restart within the session timeout gives the same partitions back without
//     a rebalance of the other 47 pods.
//  2. The session timeout is 45 s.  At 10 s a full batch plus one slow lookup was
//     enough to be thrown out of the group under load.
//  3. The number of pods is never derived from lag.  Lag is an effect of scaling
//     as well as a reason for it.
package scanhub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"brisalta.example/bus"
	"brisalta.example/errs"
	"brisalta.example/flags"
	"brisalta.example/metrics"
)

const (
	sessionTimeout = 45 * time.Second
	heartbeatEvery = 5 * time.Second

	// A batch must be handled well within the session timeout.  500 scans take
	// 0.6 s normally and 8 s with the database at its worst.
	maxBatch = 500

	// How often a scan may crash us before it is put aside (SCN-2204).
	maxCrashes = 3

	// Scans older than this are not merged automatically (SCN-2102): it is the
	// longest time for which a handheld may keep scans while offline.
	maxAge = 7 * 24 * time.Hour

	// Scans from devices whose clock is further ahead are stored with our own time
	// and marked clock_suspect (SCN-2101).
	maxAhead = 120 * time.Second
)

// Flag bits of a scan, the same as in the column scan_event.flags.
const (
	FlagClockSuspect = 1 << iota
	FlagLate
	FlagHidden
	FlagBulk
	FlagWeakProof
)

// ErrNoOrdinal means that the pod's name does not end in a number.  We refuse to
// start: a member without a stable identity is what made the storm.
var ErrNoOrdinal = errors.New("pod name has no ordinal, run as a stateful set")

// Enricher joins scans with shipments.
type Enricher struct {
	In         bus.Reader
	Out        bus.Writer
	Late       bus.Writer // scan.late.v1
	Quarantine bus.Writer // scan.quarantine.v1
	Shipments  ShipmentLookup
	Dedup      DedupStore

	crashes map[bus.Offset]int // how often a scan has failed, by offset
	now     func() time.Time
}

// New returns an enricher; the caller sets the exported fields.
func New() *Enricher {
	return &Enricher{crashes: make(map[bus.Offset]int), now: time.Now}
}

// ShipmentLookup finds the shipment of a parcel; it is a cache in front of a
// replica of pg-intake.  The hit rate should be above 96 %.
type ShipmentLookup interface {
	Find(ctx context.Context, parcel string) (Shipment, error)
}

// DedupStore remembers (parcel, device, event) for ten minutes by our clock.
type DedupStore interface {
	SeenRecently(ctx context.Context, key string) (bool, error)
}

// InstanceID derives the static identity from a name like "enricher-31".
func InstanceID() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	i := strings.LastIndexByte(host, '-')
	if i < 0 || i == len(host)-1 || strings.Trim(host[i+1:], "0123456789") != "" {
		return "", fmt.Errorf("%w: %q", ErrNoOrdinal, host)
	}
	return host, nil
}

// Options for joining the group.  Used by the tests as well, so that nobody can
// change one and forget the other.
func Options() (bus.GroupOptions, error) {
	id, err := InstanceID()
	if err != nil {
		return bus.GroupOptions{}, err
	}
	return bus.GroupOptions{
		Group:          "scanhub-enricher",
		InstanceID:     id,
		SessionTimeout: sessionTimeout,
		Heartbeat:      heartbeatEvery,
		Assignment:     bus.CooperativeSticky,
		StartAt:        bus.Earliest,
	}, nil
}

// Run reads until ctx ends.  Offsets are committed after the batch was written:
// a crash repeats scans and never loses them.  Repetition is harmless since the
// read model is idempotent.
func (e *Enricher) Run(ctx context.Context) error {
	for {
		batch, err := e.In.Fetch(ctx, maxBatch)
		if err != nil {
			return err
		}
		for _, message := range batch {
			if err := e.one(ctx, message); err != nil {
				e.crashes[message.Offset]++
				if e.crashes[message.Offset] < maxCrashes {
					return fmt.Errorf("scan at %v: %w", message.Offset, err)
				}
				// Put aside, keep the rest moving.  Quarantine keeps events for
				// ever: fix the parser, then replay.
				metrics.Count("scan_quarantined_total")
				if err := e.Quarantine.Write(ctx, message); err != nil {
					return errs.Wrap("SCN-2204", err)
				}
				delete(e.crashes, message.Offset)
			}
		}
		if err := e.In.Commit(ctx, batch); err != nil {
			return err
		}
	}
}

func (e *Enricher) one(ctx context.Context, message bus.Message) error {
	scan, err := Decode(message.Body)
	if err != nil {
		return err
	}
	now := e.now()
	switch {
	case scan.ObservedAt.Sub(now) > maxAhead:
		// Better a parcel with a doubtful time than a parcel with none.
		scan.ObservedAt = now
		scan.Flags |= FlagClockSuspect
	case now.Sub(scan.ObservedAt) > maxAge:
		scan.Flags |= FlagLate
		return e.Late.Write(ctx, scan.Message())
	}

	seen, err := e.Dedup.SeenRecently(ctx, scan.Parcel+scan.Device+scan.Event)
	if err != nil {
		// The store is gone: duplicates are better than loss (SCN-2206).
		metrics.Count("dedup_pass_through_total")
	} else if seen {
		metrics.Count("scan_duplicate_total")
		return nil
	}

	if flags.Bool("scanhub.enrich_async", false) {
		// Switched on by hand when pg-intake is slow: publish at once, the product
		// name follows within a minute.
		return e.Out.Write(ctx, scan.Message())
	}
	lookup, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
	defer cancel()
	shipment, err := e.Shipments.Find(lookup, scan.Parcel)
	switch {
	case errors.Is(err, ErrUnknownParcel):
		// Announced nowhere.  Publish without shipment: the parcel exists, we have
		// just seen it.
	case err != nil:
		metrics.Count("enrich_lookup_failed_total")
	default:
		scan.Attach(shipment)
	}
	return e.Out.Write(ctx, scan.Message())
}
