// status says what GitOps tools make of objects: the status that kstatus computes, as Flux and kpt wait by it, and with
// --argo the health that Argo CD gets from a health script.
//
//	status [--argo HEALTH.lua] <OBJECTS >VERDICTS
//
// Both are JSON, one value a line: {"kstatus":"Current","message":"…","argo":{"status":"Healthy","message":"…"}}
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// Verdict is what the tools make of one object.
type Verdict struct {
	Kstatus string  `json:"kstatus"`
	Message string  `json:"message"`
	Argo    *Health `json:"argo,omitempty"`
}

func main() {
	argo := flag.String("argo", "", "a health script of Argo CD")
	flag.Parse()
	if err := run(*argo, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "status:", err)
		os.Exit(1)
	}
}

func run(script string, in io.Reader, out io.Writer) error {
	var health *Script
	if script != "" {
		text, err := os.ReadFile(script)
		if err != nil {
			return err
		}
		if health, err = Compile(script, string(text)); err != nil {
			return err
		}
	}
	lines := bufio.NewReader(in)
	to := bufio.NewWriter(out)
	verdicts := json.NewEncoder(to)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return to.Flush()
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		verdict, err := judge(line, health)
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := verdicts.Encode(verdict); err != nil {
			return err
		}
	}
}

func judge(line []byte, health *Script) (Verdict, error) {
	// Its own decoder: whole numbers are int64, as in what a watch delivers, and kstatus takes no others.
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(line); err != nil {
		return Verdict{}, err
	}
	result, err := status.Compute(object)
	if err != nil {
		return Verdict{}, fmt.Errorf("kstatus: %w", err)
	}
	verdict := Verdict{Kstatus: result.Status.String(), Message: result.Message}
	if health != nil {
		of, err := health.Of(object)
		if err != nil {
			return Verdict{}, fmt.Errorf("argo: %w", err)
		}
		verdict.Argo = &of
	}
	return verdict, nil
}
