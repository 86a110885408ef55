package gateway

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Running
		if err := r.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		r.begin()
		r.begin()
		var ended atomic.Int32
		for range 2 {
			go func() {
				if err := r.Wait(context.Background()); err != nil {
					t.Error(err)
				}
				ended.Add(1)
			}()
			synctest.Wait()
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Wait(short); !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "2 calls") {
			t.Errorf("got %v", err)
		}
		r.end()
		synctest.Wait()
		if ended.Load() != 0 {
			t.Error("one is under way still")
		}
		r.end()
		synctest.Wait()
		if n := ended.Load(); n != 2 {
			t.Errorf("%d have seen the end", n)
		}
	})
}
