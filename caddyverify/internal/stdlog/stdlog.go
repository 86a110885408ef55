// Package stdlog takes over what Go's libraries print by themselves through package log.
// net/http prints there what an upstream sends beyond the end of its answer: where a
// Content-Length counts characters that is the end of the answer itself, and elsewhere
// it was the secret.
package stdlog

import (
	"log"
	"runtime"
	"strings"

	"go.uber.org/zap/zapcore"
)

// Line is what is kept of a line: no more than the words that stand in a library's
// source.
type Line struct {
	Words string
	Level zapcore.Level
	// PrintedBy is the function that called package log: where to look up what the line
	// means.
	PrintedBy string
	// Bytes is how long the line was.
	Bytes int
}

// Own makes sink the output of package log, unless Own has done so and nobody else has
// taken it since. Package log has one output for the process.
func Own(sink func(Line)) {
	if _, ok := log.Writer().(*output); ok {
		return
	}
	log.SetFlags(0)
	log.SetPrefix("")
	log.SetOutput(&output{sink})
}

type output struct{ sink func(Line) }

// fixedWords are the beginnings of lines as their libraries write them, up to where
// the first value stands. A line that begins otherwise may be all value.
var fixedWords = []string{
	unsolicited,
	"http: Accept error",
	"http: TLS handshake error",
	"http: invalid Content-Length",
	"http: panic serving",
	"http: response.Write on hijacked connection",
	"http: response.WriteHeader on hijacked connection",
	"http: superfluous response.WriteHeader call",
	"http2: Framer",
	"http2: Transport",
	"http2: header list too large",
	"http2: invalid header",
	"http2: invalid pseudo headers",
	"http2: panic serving",
	"http2: received GOAWAY",
	"http2: server",
	"net/http: invalid Cookie.Domain",
	"net/http: invalid byte",
	"protocol error: received",
	"Error enabling Transport HTTP/2 support",
	"RoundTripper returned a response & error; ignoring response",
	"[DEBUG]",
	"[ERROR]",
	"[INFO]",
	"[WARNING]",
}

// unsolicited says that the upstream does not keep to HTTP, which someone should know.
const unsolicited = "Unsolicited response received on idle HTTP channel"

// Write implements io.Writer.
func (o *output) Write(line []byte) (int, error) {
	words, level := "a library printed a line", zapcore.InfoLevel
	for _, known := range fixedWords {
		if strings.HasPrefix(string(line), known) {
			words = known
			break
		}
	}
	switch {
	case words == unsolicited:
		level = zapcore.WarnLevel
	case strings.Contains(words, "panic"):
		level = zapcore.ErrorLevel
	}
	o.sink(Line{Words: words, Level: level, PrintedBy: printedBy(), Bytes: len(line)})
	return len(line), nil
}

// printedBy names the function that called package log.
func printedBy() string {
	var callers [16]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])]) // above Write
	for {
		frame, more := frames.Next()
		if !strings.HasPrefix(frame.Function, "log.") && !strings.HasPrefix(frame.Function, "log/slog.") {
			return frame.Function
		}
		if !more {
			return ""
		}
	}
}
