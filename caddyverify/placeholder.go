package caddyverify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// noValue tells why {env.NAME} or {file.PATH} has no value, for a sentence that begins
// with what it stands for.
func noValue(placeholder string) string {
	kind, name, _ := strings.Cut(strings.Trim(placeholder, "{}"), ".")
	if kind == "file" {
		return "has no value: " + noFile(name)
	}
	if _, set := os.LookupEnv(name); set {
		return "is empty: the environment variable is set to nothing"
	}
	return "has no value: the environment variable is not set"
}

// noFile tells why a file that a placeholder names gives nothing.
func noFile(path string) string {
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() {
		var file *os.File
		if file, err = os.Open(path); err == nil {
			_ = file.Close()
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file" + whence(path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("the user that runs Caddy (uid %d) may not read the file", os.Getuid())
	case err != nil:
		return "the file cannot be read"
	case info.IsDir():
		return "it is a directory, not a file"
	}
	return "the file is empty"
}

// whence says what a relative path begins at.
func whence(path string) string {
	folder, err := os.Getwd()
	if err != nil || strings.HasPrefix(path, "/") {
		return ""
	}
	return " in " + folder
}
