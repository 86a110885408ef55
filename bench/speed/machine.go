package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine tells on what the figures came out.
func machine(cores int, programs ...string) string {
	cpu, _ := os.ReadFile("/proc/cpuinfo")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	model, ok := field(string(cpu), "model name")
	if !ok {
		model = ": " + runtime.GOARCH // ARM names no model
	}
	parts := []string{
		strings.TrimPrefix(model, ": "), fmt.Sprintf("%d cores", cores),
		runtime.Version(), "Linux " + strings.TrimSpace(string(kernel)),
	}
	for _, program := range programs {
		if program != "" {
			said, _ := exec.Command(program, "-v").CombinedOutput() // wrk exits with 1
			parts = append(parts, version(string(said)))
		}
	}
	return strings.Join(parts, ", ")
}

// version shortens what wrk, nginx and HAProxy say for -v to name and number.
func version(said string) string {
	line, _, _ := strings.Cut(said, "\n")
	line = strings.Replace(strings.TrimPrefix(line, "nginx version: "), " version ", " ", 1)
	words := strings.Fields(line)
	return strings.Join(words[:min(2, len(words))], " ")
}
