package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

// watched is a hub as its operator and its kernel see it.
type watched struct {
	*testkit.Hub
	admin string // a token
}

func watch(t testing.TB, c testkit.Config) *watched {
	t.Helper()
	h := testkit.Start(t, c)
	return &watched{h, h.Token(t, testkit.Claims{User: "operator", Roles: []string{"everything"}})}
}

// metrics are samples by their name with labels, as they stand on /metrics.
type metrics map[string]float64

// sum adds the samples of one name, those with a label that holds one of except left out.
func (m metrics) sum(name string, except ...string) (total float64) {
samples:
	for sample, value := range m {
		if of, labels, _ := strings.Cut(sample, "{"); of == name {
			for _, label := range except {
				if strings.Contains(labels, `"`+label+`"`) {
					continue samples
				}
			}
			total += value
		}
	}
	return total
}

// get asks the operator's listener over a connection that is closed behind the answer.
func (w *watched) get(t testing.TB, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.AdminURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.admin)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %.500s", path, resp.Status, err, body)
	}
	return body
}

func (w *watched) metrics(t testing.TB) metrics {
	t.Helper()
	m := metrics{}
	for line := range strings.Lines(string(w.get(t, "/metrics"))) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || name == "#" {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		m[name] = n
	}
	return m
}

// descriptors are the hub's, by what they are.
type descriptors struct {
	inodes map[string]bool // of sockets
	files  int             // of its log
	others int
}

func (w *watched) descriptors(t testing.TB) descriptors {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", w.PID())
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := descriptors{inodes: map[string]bool{}}
	for _, entry := range list {
		target, err := os.Readlink(dir + "/" + entry.Name())
		inode, socket := strings.CutPrefix(target, "socket:")
		switch {
		case err != nil: // closed meanwhile
		case socket:
			d.inodes[strings.Trim(inode, "[]")] = true
		case strings.HasPrefix(target, w.DataDir()):
			d.files++
		default:
			d.others++
		}
	}
	return d
}

// clients counts the connections to the public listener that are among the hub's descriptors.
func (w *watched) clients(t testing.TB) (n int) {
	t.Helper()
	address, err := url.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.Open(fmt.Sprintf("/proc/%d/net/tcp", w.PID()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = table.Close() }()
	inodes := w.descriptors(t).inodes
	const listening = "0A"
	lines := bufio.NewScanner(table)
	for lines.Scan() { // sl local remote state queues timer retransmits uid timeout inode …
		f := strings.Fields(lines.Text())
		if len(f) > 9 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) && f[3] != listening && inodes[f[9]] {
			n++
		}
	}
	return n
}

// cpu returns how long the hub has computed.
func (w *watched) cpu(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, behind, _ := strings.Cut(string(text), ") ") // the name may hold anything
	f := strings.Fields(behind)
	user, err := strconv.Atoi(f[11])
	if err != nil {
		t.Fatal(err)
	}
	system, err := strconv.Atoi(f[12])
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on every Linux
}

// until waits for what has to become true.
func until(t testing.TB, within time.Duration, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}
