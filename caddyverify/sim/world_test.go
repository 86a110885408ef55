package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const (
	apiKey    = "abcdef01"
	apiSecret = "S3cret-of-the-simulated-gateway"
	rightCode = "rightcode"
	wrongCode = "wrongcode"
	// callTimeout is the longest timeout of a configuration.
	callTimeout = 4 * time.Second
	// mostGateways is how many processes there are at a time without a store.
	mostGateways = 3
)

// hosts are those of the accounts' upstreams. The second account is there in some runs.
var hosts = []string{"provider.example", "backup.example"}

// world is one run.
type world struct {
	seed      uint64
	random    *rand.Rand // of the schedule; each actor has its own
	begun     time.Time
	apis      []*sandbox.Sandbox // of each account
	network   *network
	countries country.List
	isolated  bool // callers are
	failover  bool // to a second account
	callers   *caller.Rules
	stores    *stores // nil: gateways share nothing
	// scheduling is nil where IN PROGRESS is kept for a fixed time.
	scheduling *rand.Rand
	// guard is the zero Settings where it is off, and limit what may be spent, in millionths of a EUR.
	guard  guard.Settings
	second *second // nil for version 1 alone
	limit  int64
	book   book
	ends   sync.WaitGroup // of processes

	mu        sync.Mutex
	secret    int        // the number of the one that gateways begin with; the next one stands by
	revoked   int        // those before are
	slots     []*process // nil while there is none
	processes []*process // all that there were
	trace     []string
	broken    []string  // what the checkers have found
	died      bool      // a process has been killed
	flooded   time.Time // when there was the last flood
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{seed: seed, random: rand.New(rand.NewPCG(seed, 0)), begun: time.Now()}
	var err error
	w.failover = w.random.IntN(3) == 0
	w.comeToSecond()
	for account := range hosts {
		api, err := sandbox.New(w.sandboxOf(account))
		if err != nil {
			t.Fatal(err)
		}
		w.apis = append(w.apis, api)
	}
	if w.countries, err = country.NewList([]string{"GB"}); err != nil {
		t.Fatal(err)
	}
	w.isolated = w.random.IntN(2) == 0
	var rules []caller.Rule
	for _, name := range callers[1:] {
		rules = append(rules, caller.Rule{Caller: caller.Caller{Name: name, Isolated: w.isolated}, From: callerHeader, Is: []string{name}})
	}
	if w.callers, err = caller.NewRules(rules, &caller.Caller{Isolated: w.isolated}); err != nil {
		t.Fatal(err)
	}
	w.network = newNetwork(w)
	w.book.init()
	w.slots = make([]*process, []int{1, 1, 2, mostGateways}[w.random.IntN(4)])
	if r := rand.New(rand.NewPCG(seed, 5)); r.IntN(3) > 0 {
		w.stores = newStores(t, w, r)
		w.slots = make([]*process, []int{1, 2, 2, 2, 3, 3, 4, 4}[r.IntN(8)])
	}
	w.schedule()
	w.guardUp()
	for slot := range w.slots {
		w.begin(t, slot)
	}
	return w
}

// verification is what the provider knows of one.
func (w *world) verification(id string) (v sandbox.Verification, ok bool) {
	for _, api := range w.apis {
		if v, ok = api.Verification(id); ok {
			break
		}
		if w.second == nil || len(id) != 32 {
			continue
		}
		if v, ok = api.Verification(id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]); ok {
			v.RequestID = id
			break
		}
	}
	return v, ok
}

// serving is the process that new calls reach; nil while there is none.
func (w *world) serving(slot int) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.slots[slot%len(w.slots)]
	if p != nil {
		p.calls.Add(1)
	}
	return p
}

// note writes down what happens, for who looks into a run.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, fmt.Sprintf("%20.9f ", time.Since(w.begun).Seconds())+fmt.Sprintf(format, args...))
}

// violated notes that something which must hold does not.
func (w *world) violated(checker int, format string, args ...any) {
	text := fmt.Sprintf("checker %d: ", checker) + fmt.Sprintf(format, args...)
	w.note("VIOLATED %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, text)
}

// direct has things happen to the network and the processes.
func (w *world) direct(t *testing.T) {
	t.Helper()
	director := rand.New(rand.NewPCG(w.seed, 2))
	for n := range 3 + director.IntN(4) {
		if n == 1 {
			w.goOver(t)
		}
		w.network.set(phases[director.IntN(len(phases))])
		time.Sleep(time.Duration(5+director.IntN(40))*time.Second + 7)
		if director.IntN(3) == 0 {
			w.flood(director)
			time.Sleep(time.Duration(director.IntN(1200)) * time.Millisecond)
		}
		slot := director.IntN(len(w.slots))
		switch director.IntN(10) {
		case 5:
			w.rotate(director)
		case 0, 1, 2:
			w.slots[slot].reload(t)
		case 3:
			w.doom(slot)
			w.slots[slot].kill()
			time.Sleep(time.Duration(director.IntN(2000))*time.Millisecond + 3)
			w.begin(t, slot)
		case 4:
			w.slots[slot].stop()
			time.Sleep(time.Duration(director.IntN(3000))*time.Millisecond + 5)
			w.begin(t, slot)
		}
	}
	w.goOver(t)
	w.network.set(phases[0])
	if w.stores != nil {
		close(w.stores.over)
	}
}

// secretOf is the secret of a number.
func secretOf(number int) string { return fmt.Sprint(apiSecret, "-", number) }

// accepts tells whether the provider takes a secret.
func (w *world) accepts(secret string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return secret == secretOf(w.secret) && w.revoked <= w.secret || secret == secretOf(w.secret+1)
}

// rotate has the provider revoke the secret in use. Later a new one stands by.
func (w *world) rotate(director *rand.Rand) {
	if w.second != nil && w.second.jwt {
		w.expire()
		return
	}
	w.mu.Lock()
	w.revoked = w.secret + 1
	w.mu.Unlock()
	w.note("the secret is revoked")
	time.Sleep(time.Duration(director.IntN(15_000))*time.Millisecond + 9)
	w.mu.Lock()
	w.secret++
	slots := slices.Clone(w.slots)
	w.mu.Unlock()
	w.note("there is a new secret")
	for _, p := range slots {
		p.useSecrets()
		time.Sleep(11 * time.Nanosecond)
	}
}

// flood is many searches at once, of one application or of all, for verifications that
// nobody has started.
func (w *world) flood(director *rand.Rand) {
	w.note("a flood")
	w.mu.Lock()
	w.flooded = time.Now()
	w.mu.Unlock()
	slot, from, one := director.IntN(len(w.slots)), director.IntN(len(callers)), director.IntN(2) == 0
	for n := range 80 {
		if !one {
			from = n % len(callers)
		}
		u := &user{world: w, slot: slot, caller: callers[from], name: fmt.Sprint("flood", n), format: "json", random: rand.New(rand.NewPCG(director.Uint64(), 0)), roads: w.roads(1000 + n)}
		id := fmt.Sprintf("%032x", director.Uint64())
		w.book.calls.Go(func() {
			time.Sleep(time.Duration(n) * 3_010_007) // no two at the same time
			u.search(id)
		})
	}
}

// calmAfter is when everything is served again once faults end.
const calmAfter = time.Minute

// recover: once faults end, everything is served again soon.
func (w *world) recover(slot int) {
	u := w.newUser(users + slot)
	u.slot, u.patient, u.roads = slot, true, nil
	u.random = rand.New(rand.NewPCG(0, uint64(slot)))
	calm := time.Now()
	missing := "nobody has waited for an answer"
	started := true
	for time.Since(calm) < calmAfter {
		time.Sleep(2500*time.Millisecond + time.Duration(11+slot))
		if started {
			u.number = fmt.Sprintf("447712%06d", 900_000+1000*slot+int(time.Since(calm)/time.Second))
			u.key = "key-of-" + u.number
			u.start = w.book.begin(u)
		}
		answer := u.ask()
		if started = answer.Status == "0" || answer.Status == "10"; !started {
			missing = "a request is answered with " + answer.Status + " " + answer.Text
			continue
		}
		checked := u.checkOnce(answer.RequestID, rightCode)
		if checked.Status != "0" {
			missing = "a check is answered with " + checked.Status + " " + checked.Text
			continue
		}
		found := u.search(answer.RequestID)
		if found.Status == "SUCCESS" {
			return
		}
		missing = "a search is answered with " + found.Status + " " + found.Text
	}
	w.violated(9, "gateway %d: a minute after all faults %s", slot, missing)
}

// report fails the test for what the checkers have found.
func (w *world) report(t *testing.T) {
	t.Helper()
	if len(w.broken) > 0 {
		from := max(0, len(w.trace)-60)
		t.Errorf("seed %d:\n%s\nthe last of what happened:\n%s\nagain: go test ./caddyverify/sim -run 'TestSim$' -seed %d -v",
			w.seed, strings.Join(w.broken, "\n"), strings.Join(w.trace[from:], "\n"), w.seed)
	}
	if testing.Verbose() && *seedFlag != 0 {
		t.Log("\n" + strings.Join(w.trace, "\n"))
	}
}
