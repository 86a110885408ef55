package sandbox

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	bombSize  = 256 << 20
	deepPairs = 5_000 // each is a list and an object: 10,000 levels
	chunkSize = 64 << 10
	marker    = "@SPOIL@" // stands in an answer where something is put in
)

// write answers a call, badly if the plan says so. The connection may be gone
// when it returns; it panics with http.ErrAbortHandler, and nothing else, to
// have net/http drop it.
func (p plan) write(w http.ResponseWriter, r *http.Request, c call, a answer) {
	h := w.Header()
	if p.fault == nil && a.empty {
		w.WriteHeader(a.codeHTTP())
		return
	}
	if a.empty {
		a.httpStatus = http.StatusOK // 204 could not carry what spoils it
	}
	code := a.codeHTTP()
	h.Set("Content-Type", cmp.Or(a.media, contentType(c.format)))
	if p.fault == nil {
		send(w, code, a.encode(c.format))
		return
	}
	switch f := p.fault; f.Kind {
	case "http":
		writeHTTP(w, f.number)
	case "close":
		_ = hijack(w).Close()
	case "reset_after":
		reset(hijack(w))
	case "hang":
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case "garbage":
		send(w, code, []byte("\x00\x01\xff this is neither JSON nor XML <{["))
	case "html":
		h.Set("Content-Type", "text/html; charset=utf-8")
		send(w, code, page(http.StatusText(http.StatusOK)))
	case "redirect":
		h.Set("Location", f.url)
		w.WriteHeader(http.StatusFound)
	case "truncate":
		body := a.encode(c.format)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(code)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "drip":
		drip(w, r, code, a.encode(c.format), f.duration)
	case "big":
		big(w, a, c.format, f.number)
	case "bomb":
		h.Set("Content-Encoding", "gzip")
		send(w, code, bomb(a, c.format))
	case "deep":
		a.prepend(deep())
		send(w, code, a.encode(c.format))
	case "dtd":
		send(w, code, dtd(a, c.format))
	case "duplicate_status":
		duplicateStatus(&a)
		send(w, code, a.encode(c.format))
	case "echo":
		authorization := r.Header.Get("Authorization")
		h.Set("X-Echo", strings.TrimSpace(authorization+" "+c.apiSecret))
		a.prepend(field{name: "authorization", value: authorization}, field{name: "api_secret", value: c.apiSecret})
		send(w, code, a.encode(c.format))
	case "no_content_type":
		h["Content-Type"] = nil // keeps net/http from guessing one
		send(w, code, a.encode(c.format))
	case "surplus":
		body := a.encode(c.format)
		conn := hijack(w)
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s%s %s %s",
			code, http.StatusText(code), h.Get("Content-Type"), len(body), body, r.Header.Get("Authorization"), c.apiSecret, c.params.Encode())
		_ = conn.Close()
	default: // status: its answer is made
		send(w, code, a.encode(c.format))
	}
}

func send(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) // a client that has left needs no answer
}

func page(title string) []byte {
	return fmt.Appendf(nil, "<html>\n<head><title>%[1]s</title></head>\n<body><center><h1>%[1]s</h1></center></body>\n</html>\n", title)
}

func writeHTTP(w http.ResponseWriter, code int) {
	media, body := "text/html", page(strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code))))
	switch code {
	case http.StatusUnauthorized:
		media = "application/problem+json"
		body = []byte(`{"type":"https://developer.vonage.com/api-errors#unauthorized","title":"Unauthorized","detail":"You did not provide correct credentials.","instance":"` + newRequestID() + `"}`)
	case http.StatusTooManyRequests:
		media, body = "text/plain", []byte("Too Many Requests\n")
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// hijack takes the connection over; where that cannot be done it has the
// connection, or the HTTP/2 stream, aborted.
func hijack(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn
}

// reset closes a connection so that the client sees it reset. It goes to the
// TCP connection inside TLS, which would still say goodbye.
func reset(conn net.Conn) {
	for {
		inner, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = inner.NetConn()
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func drip(w http.ResponseWriter, r *http.Request, code int, body []byte, each time.Duration) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	for i := range body {
		if i > 0 && !pause(r.Context(), each) {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(body[i : i+1])
		_ = http.NewResponseController(w).Flush()
	}
}

// padded gives an answer in two parts between which padding may be put.
func padded(a answer, format string) (before, after []byte) {
	a.prepend(field{name: "padding", value: marker})
	before, after, _ = bytes.Cut(a.encode(format), []byte(marker))
	return before, after
}

func big(w http.ResponseWriter, a answer, format string, size int) {
	before, after := padded(a, format)
	w.Header().Set("Content-Length", strconv.Itoa(len(before)+size+len(after)))
	w.WriteHeader(a.codeHTTP())
	_, _ = w.Write(before)
	chunk := bytes.Repeat([]byte(" "), chunkSize)
	for size > 0 {
		n, err := w.Write(chunk[:min(size, chunkSize)])
		if err != nil {
			return // the client has left
		}
		size -= n
	}
	_, _ = w.Write(after)
}

// bomb is cheap to make, too: gzip allows for members one after another, so
// one packed chunk serves for all.
func bomb(a answer, format string) []byte {
	before, after := padded(a, format)
	const member = 1 << 20
	spaces := pack(bytes.Repeat([]byte(" "), member))
	return bytes.Join([][]byte{pack(before), bytes.Repeat(spaces, bombSize/member), pack(after)}, nil)
}

func pack(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b) // a Buffer does not fail
	_, _ = io.Copy(z, bytes.NewReader(data))
	_ = z.Close()
	return b.Bytes()
}

func deep() field {
	f := field{name: "levels", list: []object{}}
	for range deepPairs {
		f = field{name: "levels", list: []object{{f}}}
	}
	return f
}

// duplicateStatus says, where an answer has no status, its first field twice.
func duplicateStatus(a *answer) {
	if a.outcome != "" {
		twice := field{name: "status", value: "failed"}
		if !slices.ContainsFunc(a.fields, func(f field) bool { return f.name == twice.name }) && len(a.fields) > 0 {
			twice.name = a.fields[0].name
		}
		a.prepend(twice)
		return
	}
	wrong := "0"
	if a.status() == "0" {
		wrong = "5"
	}
	a.prepend(field{name: "status", value: wrong})
}

func dtd(a answer, format string) []byte {
	if format != "xml" {
		duplicateStatus(&a)
		return a.encode(format)
	}
	var entities strings.Builder
	entities.WriteString(`<!ENTITY e0 "ha">`)
	for i := range 9 {
		fmt.Fprintf(&entities, `<!ENTITY e%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&e%d;", i), 10))
	}
	a.prepend(field{name: "entity", value: marker})
	head, rest, _ := strings.Cut(string(a.encode(format)), "?>\n")
	rest = strings.Replace(rest, marker, "&e9;", 1)
	return fmt.Appendf(nil, "%s?>\n<!DOCTYPE %s [%s]>\n%s", head, a.root, entities.String(), rest)
}
