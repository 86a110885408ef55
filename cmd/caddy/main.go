// Command caddy is Caddy with its standard modules and the verify plugin in it.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddyverify/caddy-verify/caddyverify"
	_ "github.com/caddyverify/caddy-verify/caddyverify/redis"
)

func main() { caddycmd.Main() }
