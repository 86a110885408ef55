package wire

import "unicode/utf8"

// kind is what the values of a parameter are made of. Beyond free text there is
// nothing in them that a firewall on the way would stumble over: what it answers
// to one user's input must not look like the provider's trouble.
type kind uint8

const (
	kindWord    kind = iota // what the API has a list of, or a small number
	kindText                // free text, in any script
	kindID                  // names a verification
	kindNumber              // a phone number, as people write them
	kindCode                // what a user types
	kindAddress             // an IP address, or a list of them
	kindAmount              // of money
)

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// made lists the characters of each kind beside digits. Free text takes all.
var made = [...]string{
	kindWord:    letters + "-_. ",
	kindID:      letters + "-_", // the documentation's have dashes, the SDKs' tests use words
	kindNumber:  "+ ()-.",
	kindCode:    letters + "-", // also a pin_code such as AKFG-3424
	kindAddress: letters + ".:%/,[]-_ ",
	kindAmount:  ".,+- ",
}

// may tells by a bit for each kind which bytes its values may have.
var may = func() (table [256]uint8) {
	for k, more := range made {
		for _, c := range []byte("0123456789" + more) {
			table[c] |= 1 << k
		}
	}
	for c := range table {
		if c >= ' ' && c != 0x7f { // no control characters
			table[c] |= 1 << kindText
		}
	}
	return table
}()

// fits tells whether value can be one of the kind.
func (k kind) fits(value string) bool {
	for i := range len(value) {
		if may[value[i]]&(1<<k) == 0 {
			return false
		}
	}
	return true
}

// maxID is the longest request_id, in bytes. Real ones have 32 hexadecimal digits.
const maxID = 64

// read returns a parameter's value as it is sent on, or reports that it cannot be
// one.
func (k kind) read(value, charset string) (string, bool) {
	if !k.fits(value) || k == kindID && len(value) > maxID {
		return "", false
	}
	if k == kindText && !utf8.ValidString(value) {
		return inUTF8(value, charset)
	}
	return value, true
}
