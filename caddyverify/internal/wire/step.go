package wire

import (
	"context"
	"slices"
)

// Sender makes a call and returns its answer. What goes wrong is an Answer too, with its
// Fault.
type Sender func(context.Context, *Call) Answer

// Step is a policy on the way of a call to the provider. The Sender that it returns may
// refuse a call, have it wait, pass it on to next, more than once if need be, and learn
// from the answer.
type Step func(next Sender) Sender

// Chain returns the Sender that takes a call through the steps, the first being the
// outermost, and then to last.
func Chain(last Sender, steps ...Step) Sender {
	for _, step := range slices.Backward(steps) {
		last = step(last)
	}
	return last
}

// Attempt says which one of several attempts at a call is being made. The zero Attempt
// is the first of them.
type Attempt struct {
	// Resend counts the attempts that were made before.
	Resend int
	// Method is the HTTP method to use; "" leaves it to the sender.
	Method string
	// MethodChanged tells that the upstream knew no such call by another method.
	MethodChanged bool
	// Secret is the one to use; "" is the first.
	Secret SecretName
}

type attemptKey struct{}

// WithAttempt returns ctx for an attempt.
func WithAttempt(ctx context.Context, a Attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

// AttemptOf returns the attempt that ctx is for.
func AttemptOf(ctx context.Context) Attempt {
	a, _ := ctx.Value(attemptKey{}).(Attempt)
	return a
}
