package limit

// order is an order of callers by virtual time, see fair.
type order struct {
	joins uint64
	// clock is the virtual time: when the last call began that went.
	clock int64
}

// place is a caller's in an order.
type place struct {
	// joined is the caller's number among those that came to wait.
	joined uint64
	// tag is the virtual time at which its next call begins.
	tag int64
}

// begins is when the next call of a caller begins, who waits or does not.
func (o *order) begins(p *place, waits bool, weight int64) int64 {
	if waits {
		return p.tag
	}
	return max(p.tag, o.clock-credit*unit/weight)
}

// join has a caller wait that did not.
func (o *order) join(p *place, weight int64) {
	o.joins++
	p.joined, p.tag = o.joins, o.begins(p, false, weight)
}

// went notes that a call goes.
func (o *order) went(p *place, waits bool, weight int64) {
	begins := o.begins(p, waits, weight)
	o.clock = max(o.clock, begins)
	p.tag = begins + unit/weight
}

// earlier tells which of two that wait is first.
func (p *place) earlier(than *place) bool {
	return p.tag < than.tag || p.tag == than.tag && p.joined < than.joined
}

// before tells how many of so many calls that wait go before another's that begins then. Of
// two that begin at the same time, the other's is first where it joined first.
func (p *place) before(weight int64, waiting int, begins int64, first bool) int {
	earlier := begins - p.tag
	if first {
		earlier--
	}
	if earlier < 0 {
		return 0
	}
	return min(waiting, int(earlier/(unit/weight))+1)
}
