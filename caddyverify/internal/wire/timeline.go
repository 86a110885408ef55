package wire

import (
	"encoding/json"
	"encoding/xml"
	"time"
)

// Timeline is what a search tells about when the provider did what, by the provider's clock,
// which counts whole seconds.
type Timeline struct {
	// Messages is how many the provider has sent; 0 where it does not tell.
	Messages int
	// Last is when it sent the last of them, and End when the verification ended, both since its
	// beginning; End is 0 where that is not told.
	Last, End time.Duration
}

// Timeline reads when things happened. It reports false where the state does not tell.
func (v *Verification) Timeline(f Format) (t Timeline, ok bool) {
	var said struct {
		Submitted string     `json:"date_submitted"   xml:"date_submitted"`
		Last      string     `json:"last_event_date"  xml:"last_event_date"`
		Finalized string     `json:"date_finalized"   xml:"date_finalized"`
		Events    []struct{} `json:"events"           xml:"events>event"`
	}
	unmarshal := json.Unmarshal
	if f == XML {
		unmarshal = xml.Unmarshal
	}
	if unmarshal(v.Raw, &said) != nil {
		return t, false
	}
	submitted, err := time.Parse(time.DateTime, said.Submitted)
	if err != nil {
		return t, false
	}
	last, err := time.Parse(time.DateTime, said.Last)
	if err != nil || last.Before(submitted) {
		return t, false
	}
	t.Messages, t.Last = len(said.Events), last.Sub(submitted)
	if end, err := time.Parse(time.DateTime, said.Finalized); err == nil && end.After(last) {
		t.End = end.Sub(submitted)
	}
	return t, true
}
