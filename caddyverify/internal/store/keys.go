package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// MinKey is the least length of an encryption key, in bytes: what `openssl rand -base64 32` prints
// has 44.
const MinKey = 32

const (
	format = 1 // of what is sealed: version, key id, nonce, ciphertext and tag
	idSize = 4
	header = 1 + idSize
)

// Keys hide what lies in a store: names by HMAC-SHA256, values by AES-256-GCM. Both are
// derived from an encryption key and the account by HKDF, so that no account opens another's.
type Keys struct {
	account string
	names   sync.Pool // of hash.Hash
	seals   []seal
}

// seal is one key that opens; the first one seals.
type seal struct {
	id   [idSize]byte
	aead cipher.AEAD
}

// NewKeys derives the keys of an account. The first encryption key seals, all of them open.
// The last one makes the names: it stays the last one as long as gateways run that know no
// other, see docs. Its errors name no key.
func NewKeys(account string, encryption ...string) (*Keys, error) {
	if len(encryption) == 0 {
		return nil, errors.New("there is no encryption key")
	}
	k := &Keys{}
	for i, secret := range encryption {
		if len(secret) < MinKey {
			return nil, fmt.Errorf("encryption key %d has fewer than %d characters; make one with: openssl rand -base64 %[2]d", i+1, MinKey)
		}
		s, err := newSeal(secret, account)
		if err != nil {
			return nil, err
		}
		for _, other := range k.seals {
			if other.id == s.id {
				return nil, fmt.Errorf("encryption key %d is one of those before it", i+1)
			}
		}
		k.seals = append(k.seals, s)
	}
	name, err := derive(encryption[len(encryption)-1], "names", account, sha256.Size)
	if err != nil {
		return nil, err
	}
	k.names.New = func() any { return hmac.New(sha256.New, name) }
	k.account = k.mac(8, "account")
	return k, nil
}

func newSeal(secret, account string) (seal, error) {
	var s seal
	id, err := derive(secret, "id", account, idSize)
	if err != nil {
		return s, err
	}
	copy(s.id[:], id)
	key, err := derive(secret, "values", account, 32)
	if err != nil {
		return s, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return s, err
	}
	s.aead, err = cipher.NewGCMWithRandomNonce(block)
	return s, err
}

func derive(secret, what, account string, size int) ([]byte, error) {
	return hkdf.Key(sha256.New, []byte(secret), nil, "caddy-verify store 1 "+what+" account="+account, size)
}

// Account is the account's name in the store.
func (k *Keys) Account() string { return k.account }

// mac is a name of n characters for some words, of which all but the last have a fixed length.
func (k *Keys) mac(n int, words ...string) string {
	h := k.names.Get().(hash.Hash)
	defer k.names.Put(h)
	h.Reset()
	for _, word := range words {
		_, _ = h.Write([]byte(word))
	}
	var sum [sha256.Size]byte
	return base64.RawURLEncoding.EncodeToString(h.Sum(sum[:0]))[:n]
}

// name hides a name.
func (k *Keys) name(n Name) Name {
	of := n.Kind
	if of == Ended {
		of = Verification
	}
	if of == Verification {
		n.ID = wire.Spelling(n.ID)
	}
	return Name{n.Kind, k.mac(22, "name", string(rune(of)), n.ID)}
}

// field hides a field, whose name is the same for every verification.
func (k *Keys) field(f Field) Field { return Field(k.mac(11, "field", string(f))) }

// entry hides the field of an entry. What was told of one spelling is not told of another.
func (k *Keys) entry(n Name, f Field) Field {
	if wire.Spelling(n.ID) != n.ID {
		f += Field("\x00" + n.ID)
	}
	return k.field(f)
}

// digest hides what is said: it is short of digits enough to be guessed.
func (k *Keys) digest(says [32]byte) (out [32]byte) {
	h := k.names.Get().(hash.Hash)
	defer k.names.Put(h)
	h.Reset()
	_, _ = h.Write([]byte("digest"))
	_, _ = h.Write(says[:])
	h.Sum(out[:0])
	return out
}

// seal encrypts a value for one place, so that it opens nowhere else.
func (k *Keys) seal(place, v []byte) []byte {
	s := k.seals[0]
	out := make([]byte, 0, header+len(v)+s.aead.Overhead())
	out = append(append(out, format), s.id[:]...)
	return s.aead.Seal(out, nil, v, place) //nolint:gosec // NewGCMWithRandomNonce makes the nonce
}

// open decrypts a value. It is nil where the value is of another version, another key or
// another place: a miss.
func (k *Keys) open(place, v []byte) []byte {
	if len(v) < header || v[0] != format {
		return nil
	}
	for _, s := range k.seals {
		if [idSize]byte(v[1:header]) == s.id {
			out, err := s.aead.Open([]byte{}, nil, v[header:], place)
			if err != nil {
				return nil
			}
			return out
		}
	}
	return nil
}

// place is what a value is bound to.
func place(n Name, field string) []byte {
	return append(append([]byte{byte(n.Kind)}, n.ID...), ":"+field...)
}
