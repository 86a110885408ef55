// Package deploy keeps the files in deploy/ true to what reads them: Kubernetes' own types,
// kustomize, Docker's rules of good images. It is a module of its own, since those are large.
package deploy
