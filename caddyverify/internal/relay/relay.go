// Package relay passes webhooks on to the applications whose verifications they are about: it
// signs them, and tries again where an application does not take them.
package relay

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const (
	// maxWaiting bounds the deliveries under way. One target has at most half of what others leave:
	// whichever are down, there is room for those that are not.
	maxWaiting = 1000
	// atOnce is how many calls one target gets at a time.
	atOnce = 8
	// timeout bounds a try.
	timeout = 10 * time.Second
	// window is how long a delivery is under way at most, but for its last try.
	window = 10 * time.Minute
	// lastly is for how long Close waits for tries under way.
	lastly = 2 * time.Second
	// maxAnswer is how much of an answer is read, so that its connection can be used again, in bytes.
	maxAnswer = 4 << 10
	// maxHeader is the largest header of an answer, in bytes.
	maxHeader = 16 << 10
)

// pauses are those before each further try.
var pauses = [...]time.Duration{2 * time.Second, 10 * time.Second, 30 * time.Second, 90 * time.Second, 4 * time.Minute}

// Result is what became of a try, or of a delivery.
type Result string

// The results.
const (
	// Delivered: the application answered 2xx.
	Delivered Result = "delivered"
	// Retried: it did not, and is asked once more.
	Retried Result = "retried"
	// GaveUp: it did not take the last try either, or the window is over.
	GaveUp Result = "gave_up"
	// Dropped: too many deliveries were waiting, the gateway has ended, or nobody knows whose it was or
	// where its application takes webhooks by now.
	Dropped Result = "dropped"
)

// Results lists them.
var Results = [...]Result{Delivered, Retried, GaveUp, Dropped}

// Delivery is a webhook for an application.
type Delivery struct {
	Target *Target
	// Name is the application's, and ID the verification's.
	Name, ID string
	// Now is where it goes by the time of a try, nil for nowhere. By default that does not change.
	Now func(was *Target) *Target
	// Body is what the provider sent. It holds personal data.
	Body []byte
}

// Format tells nothing of the body.
func (d Delivery) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("a delivery for " + d.Name)) }

// Why a try is none, or a delivery ends. None tells anything of the target or the webhook.
var (
	errTooMany  = errors.New("too many webhooks are waiting")
	errLate     = fmt.Errorf("it has waited for %v", window)
	errEnded    = errors.New("the gateway has ended")
	errNowhere  = errors.New("the configuration has no relay any more that is sure to be its caller's")
	errTimeout  = fmt.Errorf("there was no answer within %v", timeout)
	errNoAnswer = errors.New("no connection brought an answer; look whether this host reaches it")
	errNoName   = errors.New("its name has no address; look whether the URL is right, and whether this host can resolve it")
	errNobody   = errors.New("nothing listens there; look whether the application runs, and whether the URL is right")
	errNotHTTPS = errors.New("TLS failed; look whether its certificate is for that name and of an issuer that this host trusts")
)

// noAnswer tells why there was none, without the words of err, which may name the URL.
func noAnswer(err error) error {
	var (
		name   *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &name):
		return errNoName
	case errors.Is(err, syscall.ECONNREFUSED):
		return errNobody
	case errors.As(err, &cert), errors.As(err, &record):
		return errNotHTTPS
	}
	return errNoAnswer
}

// refused is an answer other than 2xx.
type refused int

func (r refused) Error() string { return fmt.Sprintf("it answered %d", int(r)) }

// Sender delivers webhooks. Make it with New.
type Sender struct {
	transport http.RoundTripper
	tell      func(Delivery, Result, error)
	ctx       context.Context // of all tries
	cancel    context.CancelFunc
	running   sync.WaitGroup

	mu      sync.Mutex
	closing chan struct{} // closed once nothing is begun any more
	waiting int
	targets map[string]*queue // by URL
}

type queue struct {
	waiting int
	slots   chan struct{}
}

// New returns a Sender, which is to be closed. tell is told of each try, and of each delivery that has
// none; its error is nil for Delivered, and holds nothing of the webhook or the URL.
func New(transport http.RoundTripper, tell func(Delivery, Result, error)) *Sender {
	s := &Sender{transport: transport, tell: tell, closing: make(chan struct{}), targets: map[string]*queue{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Transport returns one for New: without proxies of the environment, as for calls to the provider.
func Transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy, t.MaxIdleConnsPerHost = nil, atOnce
	t.MaxResponseHeaderBytes = maxHeader
	return t
}

// Send has a webhook delivered, at least once if at all, and does not wait for it.
func (s *Sender) Send(d Delivery) {
	slots, err := s.enter(d.Target.url)
	if err != nil {
		s.tell(d, Dropped, err)
		return
	}
	go s.deliver(&sending{Delivery: d, slots: slots})
}

// sending is a delivery under way.
type sending struct {
	Delivery
	slots chan struct{} // of its target
}

func (s *Sender) enter(url string) (slots chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue(url)
	defer s.tidy(url)
	switch {
	case s.closed():
		return nil, errEnded
	case q.waiting >= (maxWaiting-s.waiting+q.waiting)/2:
		return nil, errTooMany
	}
	s.running.Add(1) // before Close may wait
	s.waiting++
	q.waiting++
	return q.slots, nil
}

func (s *Sender) leave(url string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running.Done()
	s.waiting--
	s.queue(url).waiting--
	s.tidy(url)
}

// queue is that of a URL. The caller holds s.mu, and tidies up.
func (s *Sender) queue(url string) *queue {
	q := s.targets[url]
	if q == nil {
		q = &queue{slots: make(chan struct{}, atOnce)}
		s.targets[url] = q
	}
	return q
}

func (s *Sender) tidy(url string) {
	if s.targets[url].waiting == 0 {
		delete(s.targets, url)
	}
}

func (s *Sender) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// deliver tries until the application takes it.
func (s *Sender) deliver(d *sending) {
	defer func() { s.leave(d.Target.url) }() // which may be another by then
	id := rand.Text()                        // the same in each try, so that the application can tell that it is one
	late := time.NewTimer(window)
	defer late.Stop()
	for try := 0; ; try++ {
		err := s.wait(d, late.C)
		if err == nil {
			err = s.try(d.Delivery, id)
			<-d.slots
		}
		switch {
		case err == nil:
			s.tell(d.Delivery, Delivered, nil)
			return
		case s.closed():
			s.tell(d.Delivery, Dropped, errEnded)
			return
		case errors.Is(err, errNowhere):
			s.tell(d.Delivery, Dropped, err)
			return
		case try == len(pauses), errors.Is(err, errLate):
			s.tell(d.Delivery, GaveUp, err)
			return
		}
		s.tell(d.Delivery, Retried, err)
		select {
		case <-time.After(about(pauses[try])):
		case <-late.C:
			s.tell(d.Delivery, GaveUp, errLate)
			return
		case <-s.closing:
			s.tell(d.Delivery, Dropped, errEnded)
			return
		}
	}
}

// about is a tenth more or less: what failed at once is not to come again at once.
func about(d time.Duration) time.Duration {
	return d + time.Duration((mathrand.Float64()-0.5)*0.2*float64(d)) //nolint:gosec // a pause is no secret
}

// wait takes a slot of where the delivery goes by then.
func (s *Sender) wait(d *sending, late <-chan time.Time) error {
	for {
		select {
		case d.slots <- struct{}{}:
		case <-late:
			return errLate
		case <-s.closing:
			return errEnded
		}
		to := d.Target
		if d.Now != nil {
			to = d.Now(to)
		}
		if to != nil && to.Same(d.Target) {
			d.Target = to
			return nil
		}
		<-d.slots
		if to == nil {
			return errNowhere
		}
		s.move(d, to)
	}
}

// move has a delivery wait for another target. It has had its place among all, and so needs no room.
func (s *Sender) move(d *sending, to *Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue(d.Target.url).waiting--
	s.tidy(d.Target.url)
	q := s.queue(to.url)
	q.waiting++
	d.Target, d.slots = to, q.slots
}

// try makes one call. Redirects are answers like others: they would lead what is signed elsewhere.
func (s *Sender) try(d Delivery, id string) error {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	r, err := d.Target.request(ctx, d.Body, id, time.Now())
	if err != nil {
		return errNoAnswer
	}
	answer, err := s.transport.RoundTrip(r)
	switch {
	case err != nil && s.ctx.Err() != nil:
		return errEnded
	case err != nil && ctx.Err() != nil:
		return errTimeout
	case err != nil:
		return noAnswer(err)
	}
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	_ = answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return refused(answer.StatusCode)
	}
	return nil
}

// Close ends what is under way, and waits a moment for tries that may come to an end.
func (s *Sender) Close() {
	s.mu.Lock()
	close(s.closing)
	s.mu.Unlock()
	last := time.AfterFunc(lastly, s.cancel)
	s.running.Wait()
	last.Stop()
	s.cancel()
	if t, ok := s.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
