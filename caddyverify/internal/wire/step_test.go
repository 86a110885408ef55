package wire

import (
	"context"
	"slices"
	"testing"
)

func TestChain(t *testing.T) {
	var way []string
	step := func(name string) Step {
		return func(next Sender) Sender {
			return func(ctx context.Context, call *Call) Answer {
				way = append(way, name)
				defer func() { way = append(way, "/"+name) }()
				return next(ctx, call)
			}
		}
	}
	send := Chain(func(context.Context, *Call) Answer {
		way = append(way, "last")
		return Answer{Code: 200}
	}, step("outer"), step("inner"))
	if answer := send(t.Context(), &Call{}); answer.Code != 200 {
		t.Errorf("answered %d", answer.Code)
	}
	if want := []string{"outer", "inner", "last", "/inner", "/outer"}; !slices.Equal(way, want) {
		t.Errorf("the way was %q, not %q", way, want)
	}
}

func TestAttempt(t *testing.T) {
	if got := AttemptOf(t.Context()); got != (Attempt{}) {
		t.Errorf("without one: %+v", got)
	}
	want := Attempt{Resend: 1, Method: "GET"}
	if got := AttemptOf(WithAttempt(t.Context(), want)); got != want {
		t.Errorf("got %+v", got)
	}
}
