package guard

import "time"

// Where gateways share budgets, each may spend no more than the part of the cap that it holds, by
// what it was last granted: so the cap holds whatever is lost on the way, and while the store is
// away each goes on with what it has. It tells a Book, which says how things are and not what
// has changed: it is harmless twice, and late, and a store that has forgotten everything is told
// all of it by the next ones.

// part is a gateway's part of a budget.
type part struct {
	// limit is how much may be reserved, and settled since the last Book, which is unsaid.
	limit, unsaid int64
	// seq is of the last Book, known of the last one that was answered, and dry tells that it was granted less than it wanted.
	seq, known uint64
	dry        bool
	// answered tells that it was, and said what it was made of.
	answered bool
	said     [3]int64
	// asked is when that was told, and heard the last one that was answered.
	asked, heard time.Duration
	// What other gateways have settled and hold, as last told.
	othersSettled, othersReserved int64
}

// Book is what a gateway tells of a budget, and asks for. Amounts are in millionths of the
// currency of Cap.
type Book struct {
	Name string
	// Seq grows from one Book of a gateway to the next. An older one that comes later says nothing.
	Seq uint64
	// Answered is the Seq of the last one that was answered; 0 for none since Share.
	Answered uint64
	Cap      Money
	// Spent is what this gateway has settled, and counts until it is Keep old.
	Spent []Spent
	Keep  time.Duration
	// Held is what it holds now, beside what it has settled, and Want what it would like to.
	Held, Want int64
	// Others is what others had settled and held together, as last told.
	Others int64
}

// Spent is what was settled within a slice of a gateway's time. It only ever grows.
type Spent struct {
	Slice int64
	// Age is how long ago the slice began.
	Age   time.Duration
	Micro int64
}

// Grant is the answer to a Book. Whoever gives it sees to it that, of all gateways, what is settled
// within the period and what is held come to no more than the cap, unless they hold more than that
// already. It is at least as much as the lesser of Held and Want.
type Grant struct {
	Held int64
	// OthersSettled and OthersHeld are of the other gateways together.
	OthersSettled, OthersHeld int64
}

// A gateway holds a part of the cap in advance, for the next starts to go without asking, and for
// when the store is away; and no more than a part of what is left, so that little of it lies idle.
const (
	partOfCap  = 64
	partOfLeft = 16
	// What is held can be spent for a part of a slice without being heard of: 30 minutes of a day's
	// budget, 12 hours of a month's. Until a slice beyond the period it counts as spent elsewhere, so
	// that is no more, whatever becomes of this gateway.
	partOfSlice = 2
)

// Share has budgets be shared with other gateways from now on, or be this gateway's alone. Sharing,
// it spends nothing before it is granted something.
func (g *Guard) Share(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sharing == on {
		return
	}
	g.sharing = on
	for _, b := range g.budgets {
		b.part = part{limit: b.reserved, seq: b.seq + 1, asked: b.asked, heard: b.heard}
	}
}

// Wanting returns the Books to be told before a start is decided on, since what this gateway
// holds would not be enough. Where that cannot be helped, there are none.
func (g *Guard) Wanting(s Start) (books []Book) {
	g.mu.Lock()
	defer g.done()
	if !g.sharing {
		return nil
	}
	now := g.now()
	for _, b := range g.lacking(&s, now) {
		books = append(books, b.book(s.Worst.Micro, now))
	}
	return books
}

// Lacks tells whether there would be Wanting ones.
func (g *Guard) Lacks(s Start) bool {
	g.mu.Lock()
	defer g.done()
	return g.sharing && len(g.lacking(&s, g.now())) > 0
}

func (g *Guard) lacking(s *Start, now time.Duration) (budgets []*budget) {
	s.setDefaults()
	for _, b := range g.inForce(s.Caller).budgets {
		if s.Worst.Currency == b.key.currency && !b.dry && !b.fits(s.Worst.Micro, true, now) && !g.trust.has(s.Number) {
			budgets = append(budgets, b)
		}
	}
	return budgets
}

// Books returns those of budgets in force that are to be told, every now and then.
func (g *Guard) Books() (books []Book) {
	g.mu.Lock()
	defer g.done()
	if !g.sharing {
		return nil
	}
	now := g.now()
	for _, b := range g.budgetsInForce() {
		if !b.heardOf(now) {
			books = append(books, b.book(0, now))
		}
	}
	return books
}

// againAfter is when a Book is told again that says nothing new. A store that was emptied hears of
// it within store.BudgetClosed.
const againAfter = 1500 * time.Millisecond

// heardOf tells that there is nothing to tell and nothing to ask for.
func (b *budget) heardOf(now time.Duration) bool {
	b.roll(now)
	return b.answered && !b.dry && b.unsaid == 0 && b.said == b.state() && now-b.heard < againAfter
}

// state is what a Book is made of, but for what others do.
func (b *budget) state() [3]int64 { return [...]int64{b.cap, b.reserved, b.settled.sum} }

// Leave ends the Guard's part in budgets for good, and returns the last Books: whatever may yet be
// spent counts as spent, since nobody will tell this gateway, and it holds nothing any more.
func (g *Guard) Leave() (books []Book) {
	g.mu.Lock()
	defer g.done()
	now := g.now()
	for len(g.records.waiting) > 0 {
		g.close(g.records.waiting[0], now)
	}
	if !g.sharing {
		return nil
	}
	for _, b := range g.budgetsInForce() {
		last := b.book(0, now)
		last.Held, last.Want, b.limit = 0, 0, 0
		books = append(books, last)
	}
	return books
}

// silent tells that it was not heard of for so long that it may not spend in advance.
func (b *budget) silent(now time.Duration) bool {
	return now > b.heard+spans[b.key.period].length/partOfSlice
}

// book makes the next Book. What it gives back is given back before anybody is told.
func (b *budget) book(more int64, now time.Duration) Book {
	b.roll(now)
	if b.silent(now) { // others take it to be spent
		b.limit = min(b.limit, b.reserved+b.unsaid)
	}
	want := b.reserved + more + min(b.cap/partOfCap, max(b.cap-b.used(), 0)/partOfLeft)
	b.limit = min(b.limit-b.unsaid, want)
	b.unsaid = 0
	b.seq++
	b.asked, b.answered, b.said = now, false, b.state()
	span := spans[b.key.period]
	book := Book{
		Name: b.name, Seq: b.seq, Answered: b.known, Cap: Money{b.cap, b.key.currency}, Keep: span.length * time.Duration(span.n),
		Held: max(b.limit, b.reserved), Want: want, Others: b.othersSettled + b.othersReserved,
	}
	for i := max(0, b.settled.newest-span.n+1); i <= b.settled.newest; i++ {
		if amount := b.settled.slices[i%span.n]; amount > 0 {
			book.Spent = append(book.Spent, Spent{i, now - time.Duration(i)*span.length, amount})
		}
	}
	return book
}

// Granted takes the answer to a Book.
func (g *Guard) Granted(told Book, granted Grant) {
	g.mu.Lock()
	defer g.done()
	for _, b := range g.budgetsInForce() {
		if b.name != told.Name || b.key.currency != told.Cap.Currency || b.seq != told.Seq || !g.sharing {
			continue
		}
		b.limit, b.heard, b.known, b.answered = granted.Held, b.asked, b.seq, true
		b.othersSettled, b.othersReserved = granted.OthersSettled, granted.OthersHeld
		b.dry = granted.Held < told.Want || b.settled.sum+b.othersSettled+b.othersReserved+told.Want > b.cap
	}
}
