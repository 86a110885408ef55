package wire

import "strings"

// Status is the API's own outcome of a call: a number as text, or, for a
// verification that a search found, one of five words. HTTP says 200 to all.
type Status string

// The numbers. Sources: the OpenAPI documents of the Verify API, versions 1.0.0
// to 1.2.4, and the provider's support pages.
const (
	Success             Status = "0"
	Throttled           Status = "1"
	Missing             Status = "2"
	Invalid             Status = "3"
	BadCredentials      Status = "4"
	InternalError       Status = "5"
	NotFoundOrFinished  Status = "6" // on check and control; not routed on request
	NumberBlocked       Status = "7"
	AccountBarred       Status = "8"
	NoCredit            Status = "9"
	Concurrent          Status = "10" // carries the running verification's request_id
	UnsupportedNetwork  Status = "15"
	WrongCode           Status = "16"
	TooManyWrongCodes   Status = "17"
	TooManyIDs          Status = "18"
	CannotControl       Status = "19"
	PinCodeNotSupported Status = "20"
	DemoAccount         Status = "29"
	NoResponse          Status = "101" // search: no such verification
)

// The words that a search answers with.
const (
	InProgress Status = "IN PROGRESS"
	Succeeded  Status = "SUCCESS"
	Failed     Status = "FAILED"
	Expired    Status = "EXPIRED"
	Cancelled  Status = "CANCELLED"
)

// Final tells that a verification in this state will not change it any more.
func (s Status) Final() bool {
	switch s {
	case Succeeded, Failed, Expired, Cancelled:
		return true
	}
	return false
}

// Numeric tells a number from a word.
func (s Status) Numeric() bool {
	if s == "" || len(s) > 4 || len(s) > 1 && s[0] == '0' {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// readable tells whether s can be a status at all: a number, or words in
// capitals such as those of a search.
func (s Status) readable() bool {
	if s.Numeric() {
		return true
	}
	if s == "" || len(s) > 32 || string(s) != strings.Trim(string(s), " _") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && c != ' ' && c != '_' {
			return false
		}
	}
	return true
}
