package gateway

import (
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	v2 "github.com/caddyverify/caddy-verify/caddyverify/internal/upstream/v2"
)

// signers sign for an account's applications. However many Gateways have the account, and
// over reloads, a token is used for as long as it may be.
type signers struct {
	mu  sync.Mutex
	all map[signs]*signer
}

type signs struct {
	application string
	key         [32]byte // its sum
}

type signer struct {
	jwt      *v2.JWT
	gateways int
}

// of returns what signs for an application, until leave.
func (s *signers) of(application string, config *upstream.Config) (jwt *v2.JWT, leave func(after time.Duration), err error) {
	by := signs{application, config.Sum()}
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.all[by]
	if one == nil {
		one = new(signer)
		if one.jwt, err = v2.NewJWT(application, config.Secret, config.Live); err != nil {
			return nil, nil, err
		}
		if s.all == nil {
			s.all = map[signs]*signer{}
		}
		s.all[by] = one
	}
	one.gateways++
	return one.jwt, func(after time.Duration) { s.leave(by, after) }, nil
}

func (s *signers) leave(by signs, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.all[by]
	if one.gateways--; one.gateways == 0 {
		delete(s.all, by)
		one.jwt.Close(after)
	}
}
