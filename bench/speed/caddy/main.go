// Command caddy is the Caddy of all sides: one binary, so that where the linker puts code is the same for each.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddyverify/caddy-verify/bench/speed/floor"
	_ "github.com/caddyverify/caddy-verify/caddyverify"
)

func main() { caddycmd.Main() }
