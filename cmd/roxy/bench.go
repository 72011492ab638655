package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roxyhub/roxy/internal/bench"
)

func newBench() *cobra.Command {
	var (
		hub    clientFlags
		o      bench.Options
		asJSON bool
		mutate bool
	)
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a hub: deliveries, latency, losses, CPU, memory",
		Long: `bench opens streams, publishes at a rate, and counts what arrives: how many deliveries a second, how late, and what was
lost, repeated or out of order. With --pid, on the hub's own machine, it tells what that cost the hub. It exits with 1 when
anything was lost, repeated, out of order, dropped or refused. Ctrl-C ends it early; it tells what it has measured until then.

Against Roxy it needs a token that may read and publish bench/** (write, with --mutate; --topic and --own-topics change the topics). Its events are
kept as any others are, and the limits count (docs/performance.md has a configuration without): measure a hub of your own.

Any other hub that takes events over HTTP and delivers them over a long answer is described by two requests, in which
{topic}, {i} (the stream's number), {token} and, in the body of a publish, {data} (JSON) are filled in. In a form the body's
are escaped.

How to read the report:
  latency    from just before a publish is written until a stream has read all of it; it includes this program's own time
  answers    until a publish was answered; for Roxy that is after the fsync
  behind     how late publishes began; when it grows, the rate is not held: add --publishers, or it is too high
  idle       what the hub holds more than before the streams came, for each of them; loaded: after events. A hub that was
             just started tells the truth. PSS counts once what several processes share
  hub        CPU for a delivery, its share of the publish included. On loopback the receiver's TCP is in it as well
With --json latencies are in milliseconds, CPU in microseconds and memory in bytes.`,
		Example: `  roxy bench                                                  1,000 streams, 10 events a second
  roxy bench -n 10000 -r 5 --pid $(pidof roxy)                what does a delivery cost, and a stream?
  roxy bench -n 10000 --idle --pid $(pidof roxy)              what does a stream cost that hears nothing?
  roxy bench -n 1 -r 0 --publishers 64                        how many durable publishes a second?
  roxy bench -n 1 -r 0 --publishers 64 --mutate               how many durable mutations a second?
  roxy bench -n 5000 -r 1000 --publishers 4 --own-topics      each event to one stream

  # nchan
  roxy bench --subscribe-url 'http://127.0.0.1/sub/{topic}' --subscribe-header 'Accept: text/event-stream' \
    --publish-url 'http://127.0.0.1/pub/{topic}' --topic bench --pid "$(pgrep -d, nginx)"
  # Mercure
  roxy bench --subscribe-url 'http://127.0.0.1:3000/.well-known/mercure?topic={topic}' --token-file publisher.jwt \
    --publish-url http://127.0.0.1:3000/.well-known/mercure --publish-header 'Authorization: Bearer {token}' \
    --publish-header 'Content-Type: application/x-www-form-urlencoded' --publish-body 'topic={topic}&data={data}'
  # Centrifugo
  roxy bench --subscribe-url 'http://127.0.0.1:8000/connection/uni_sse?cf_connect=%7B%22subs%22:%7B%22{topic}%22:%7B%7D%7D%7D' \
    --ready connect --publish-url http://127.0.0.1:8000/api/publish --publish-header 'X-API-Key: {token}' \
    --publish-body '{"channel":"{topic}","data":{data}}' --topic bench`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := aim(&o, &hub, mutate); err != nil {
				return err
			}
			progress := newProgress(os.Stderr)
			o.Progress = func(text string) { progress.show("%s", text) }
			result, err := bench.Measure(cmd.Context(), o)
			progress.done()
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				err = enc.Encode(result)
			} else {
				_, err = io.WriteString(cmd.OutOrStdout(), report(&result))
			}
			return errors.Join(err, result.Err())
		},
	}
	hub.add(cmd)
	f, t, l := cmd.Flags(), &o.Target, &o.Load
	f.Lookup("token-file").Usage = "`FILE` that holds the token; else ROXY_TOKEN does"
	f.IntVarP(&l.Streams, "streams", "n", 1000, "streams to hold open")
	f.Float64VarP(&l.Rate, "rate", "r", 10, "events a second; 0: each publisher sends when its last event was answered")
	f.DurationVarP(&l.Duration, "duration", "d", 10*time.Second, "how long to publish")
	f.DurationVar(&l.Warmup, "warmup", time.Second, "how long to publish before that")
	f.IntVar(&l.Publishers, "publishers", 1, "connections that publish")
	f.IntVar(&l.Batch, "batch", 1, "events in one request; several are a JSON array")
	f.IntVar(&l.Size, "size", 256, "bytes of payload")
	f.BoolVar(&l.Idle, "idle", false, "publish nothing: what streams cost, with --pid")
	f.DurationVar(&o.Settle, "settle", 3*time.Second, "how long to leave open streams alone before memory is read")
	f.IntSliceVar(&o.PIDs, "pid", nil, "the hub's process, or several: 7,8,9")
	f.StringVar(&t.Topic, "topic", "bench/shared", "the topic that all streams share")
	f.StringVar(&t.OwnTopic, "own-topics", "", "a `TOPIC` for each stream besides; events go to these in turn")
	f.Lookup("own-topics").NoOptDefVal = "bench/own/{i}"
	f.BoolVar(&mutate, "mutate", false, "write entities: each event is a put to its topic, and what arrives is the change")
	f.BoolVar(&asJSON, "json", false, "the report as JSON")
	f.StringVar(&t.Subscribe.URL, "subscribe-url", "", "another hub: the `URL` of a stream")
	f.StringArrayVar(&t.Subscribe.Header, "subscribe-header", nil, "`NAME: VALUE` of its request")
	f.StringVar(&t.Ready, "ready", "", "`TEXT` in a stream that says that it is live (default: its answer has begun)")
	f.StringVar(&t.Publish.URL, "publish-url", "", "another hub: the `URL` that takes events")
	f.StringArrayVar(&t.Publish.Header, "publish-header", nil, "`NAME: VALUE` of a publish")
	f.StringVar(&t.Publish.Body, "publish-body", "{data}", "the `BODY` of a publish")
	f.SortFlags = false
	return cmd
}

// aim completes o's target: for another hub nothing but the token, if it is asked for; for Roxy all of it. What mutate
// puts differs from what was there in its mark alone, and that is what arrives.
func aim(o *bench.Options, hub *clientFlags, mutate bool) (err error) {
	t := &o.Target
	if mutate && t.Subscribe.URL+t.Publish.URL != "" {
		return errors.New("--mutate writes Roxy's entities; another hub gets what --publish-body says")
	}
	if t.Subscribe.URL != "" {
		if t.Publish.URL == "" && !o.Load.Idle {
			return errors.New("--subscribe-url is another hub's: say where it takes events with --publish-url, or --idle")
		}
		if strings.Contains(strings.Join(append(append([]string{t.Subscribe.URL, t.Publish.URL, t.Publish.Body}, t.Subscribe.Header...), t.Publish.Header...), " "), "{token}") {
			t.Token, err = hub.token()
		}
		return err
	}
	if t.Publish.URL != "" {
		return errors.New("--publish-url is another hub's: say where its streams are with --subscribe-url")
	}
	if t.Token, err = hub.token(); err != nil {
		return err
	}
	base := strings.TrimRight(hub.url, "/")
	t.Subscribe.URL = base + "/v1/stream?topic={topic}"
	if t.OwnTopic != "" {
		t.Subscribe.URL += "&topic=" + t.OwnTopic
	}
	// Roxy-Client: a refusal comes with its status and not as a stream of one goodbye, as browsers need it.
	t.Subscribe.Header = append(t.Subscribe.Header, "Accept: text/event-stream", "Roxy-Client: bench", "Authorization: Bearer {token}")
	t.Ready = "roxy:live"
	t.Publish.URL = base + "/v1/events"
	t.Publish.Header = append(t.Publish.Header, "Content-Type: application/json", "Authorization: Bearer {token}")
	t.Publish.Body = `{"topic":"{topic}","data":{data}}`
	if mutate {
		t.Publish.URL = base + "/v1/mutations"
		t.Publish.Body = `{"op":"put","topic":"{topic}","data":{data}}`
	}
	return nil
}
