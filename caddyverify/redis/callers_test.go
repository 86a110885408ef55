//go:build !race

package redis

const callers = 400
