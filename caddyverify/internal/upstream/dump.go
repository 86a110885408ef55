package upstream

// listed looks at what is written byte by byte, as dumps have it: 53:33:63, 0x53, 0x33,
// =53=33 or, in decimal, [83,51,99].
func (l *look) listed(text []byte) bool {
	if l.left -= len(text); l.left < 0 {
		return true
	}
	inHex, inDecimal := bytesListed(text)
	return len(inHex) >= l.least && l.readable(inHex) || len(inDecimal) >= l.least && l.readable(inDecimal)
}

// bytesListed are those of the words of a text that stand for a byte each, by either
// base. What is no such word parts them.
func bytesListed(text []byte) (inHex, inDecimal []byte) {
	for at := 0; at < len(text); at++ {
		from := at
		for at < len(text) && isAlphanumeric[text[at]] {
			at++
		}
		if word := text[from:at]; len(word) > 0 {
			c, ok := byteInHex(word)
			inHex = next(inHex, c, ok)
			c, ok = byteInDecimal(word)
			inDecimal = next(inDecimal, c, ok)
		}
	}
	return inHex, inDecimal
}

func next(listed []byte, c byte, ok bool) []byte {
	const apart = 0xff
	switch {
	case ok:
		return append(listed, c)
	case len(listed) > 0 && listed[len(listed)-1] != apart:
		return append(listed, apart)
	}
	return listed
}

func byteInHex(word []byte) (byte, bool) {
	if len(word) == 4 && word[0] == '0' && word[1]|0x20 == 'x' {
		word = word[2:]
	}
	if len(word) != 2 {
		return 0, false
	}
	r, ok := hexDigits(word, 0, 2)
	return byte(r), ok //nolint:gosec // of two digits
}

func byteInDecimal(word []byte) (byte, bool) {
	if len(word) > 3 {
		return 0, false
	}
	n := 0
	for _, c := range word {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return byte(n), n < 0x100 //nolint:gosec // looked at
}

var isAlphanumeric = func() (is [256]bool) {
	for c := range is {
		is[c] = '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
	}
	return is
}()
