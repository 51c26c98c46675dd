package main

import (
	"encoding/json"
	"strings"
	"testing"
)

const healthScript = "../../docs/gitops/argocd-health.lua"

// An object of generation 2.
func object(status string) string {
	return `{"apiVersion":"iam.conductor.one/v1alpha1","kind":"PersonalClient","metadata":{"name":"a","generation":2}` + status + `}`
}

func conditions(observed string, kinds ...string) string {
	list := []string{}
	for _, kind := range kinds {
		name, status, _ := strings.Cut(kind, "=")
		list = append(list, `{"type":"`+name+`","status":"`+status+`","reason":"R","message":"m"}`)
	}
	return object(`,"status":{` + observed + `"conditions":[` + strings.Join(list, ",") + `]}`)
}

func verdicts(t *testing.T, script string, objects ...string) []Verdict {
	t.Helper()
	var out strings.Builder
	if err := run(script, strings.NewReader(strings.Join(objects, "\n")), &out); err != nil {
		t.Fatal(err)
	}
	decoder, all := json.NewDecoder(strings.NewReader(out.String())), []Verdict{}
	for decoder.More() {
		var one Verdict
		if err := decoder.Decode(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if len(all) != len(objects) {
		t.Fatalf("%d verdicts on %d objects", len(all), len(objects))
	}
	return all
}

func TestVerdicts(t *testing.T) {
	const observed = `"observedGeneration":2,`
	for _, c := range []struct{ name, object, kstatus, argo, message string }{
		{"new, with the defaults of the schema", object(`,"status":{"observedGeneration":-1}`), "InProgress", "Progressing", "waiting for"},
		{"ready", conditions(observed, "Ready=True"), "Current", "Healthy", "R: m"},
		{"ready, of an earlier spec", conditions(`"observedGeneration":1,`, "Ready=True"), "InProgress", "Progressing", "waiting for"},
		{"stalled, of an earlier spec", conditions(`"observedGeneration":1,`, "Ready=False", "Stalled=True"), "InProgress", "Progressing", "waiting for"},
		{"on its way", conditions(observed, "Ready=False", "Reconciling=True"), "InProgress", "Progressing", "R: m"},
		{"unknown", conditions(observed, "Ready=Unknown"), "InProgress", "Progressing", "R: m"},
		{"stalled", conditions(observed, "Ready=False", "Stalled=True"), "Failed", "Degraded", "R: m"},
		{"stalled no more", conditions(observed, "Ready=True", "Stalled=False"), "Current", "Healthy", "R: m"},
		{"ready and reconciling", conditions(observed, "Ready=True", "Reconciling=True"), "InProgress", "Progressing", "R: m"},
		{"going", `{"apiVersion":"v1","kind":"A","metadata":{"name":"a","deletionTimestamp":"2026-01-01T00:00:00Z"}}`, "Terminating", "Progressing", "Pending deletion"},

		// What kstatus cannot see, and the operator must not do.
		{"no status at all", object(""), "Current", "Progressing", "waiting for"},
		{"observedGeneration forgotten", conditions("", "Ready=True"), "Current", "Progressing", "waiting for"},
		{"no conditions", conditions(observed), "Current", "Progressing", "waiting for"},
	} {
		got := verdicts(t, healthScript, c.object)[0]
		if got.Kstatus != c.kstatus || got.Argo.Status != c.argo || !strings.HasPrefix(got.Argo.Message, c.message) {
			t.Errorf("%s: %s, %+v", c.name, got.Kstatus, *got.Argo)
		}
	}
}

func TestWithoutAScriptThereIsNoHealth(t *testing.T) {
	got := verdicts(t, "", conditions(`"observedGeneration":1,`, "Ready=True"), conditions(`"observedGeneration":2,`, "Ready=True"))
	if got[0].Argo != nil || got[0].Kstatus != "InProgress" || got[1].Kstatus != "Current" {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNoObjectEndsIt(t *testing.T) {
	for _, line := range []string{"{}", "nonsense", `{"apiVersion":"v1","kind":"A","status":{"conditions":7}}`} {
		if err := run("", strings.NewReader(line), &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// A script that only works elsewhere, or says what Argo CD does not know, is an error.
func TestScriptsThatArgoWouldNotTake(t *testing.T) {
	for text, why := range map[string]string{
		`return string.format("a")`:                        "attempt to index a non-table object(nil)",
		`return io.open("/etc/passwd")`:                    "attempt to index a non-table object(nil)",
		`while true do end`:                                "context deadline exceeded",
		`return "Healthy"`:                                 "and not a table",
		`return {status = "Fine"}`:                         "the status Fine",
		`return {status = "Healthy", message = {}}`:        "a message that is a table",
		`return {status = "Healthy", message = obj.no.no}`: "attempt to index a non-table object(nil)",
	} {
		script, err := Compile("a.lua", text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = judge([]byte(object("")), script); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := Compile("a.lua", "return }"); err == nil {
		t.Error("compiled")
	}
}
