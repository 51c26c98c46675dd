package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Health is what a health script returns.
type Health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// Script is a health script of Argo CD.
type Script struct{ proto *lua.FunctionProto }

// Argo CD ends a script that runs longer.
const longest = time.Second

var codes = []string{"Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"}

// Compile reads a health script.
func Compile(name, text string) (*Script, error) {
	chunk, err := parse.Parse(strings.NewReader(text), name)
	if err != nil {
		return nil, err
	}
	proto, err := lua.Compile(chunk, name)
	if err != nil {
		return nil, err
	}
	return &Script{proto}, nil
}

// Of is the health of an object as Argo CD 3 finds it (gitops-engine's GetResourceHealth, util/lua of Argo CD): an object
// that is being deleted is Progressing before any script is asked, and a script has the object as `obj`, the basic functions
// and `table`, a second, and no `string`, `math` or `io`. (Argo CD also has two functions of `os`, which no script of ours may
// need.) Argo CD would show an error as Unknown; here it is one.
func (s *Script) Of(object *unstructured.Unstructured) (Health, error) {
	if object.GetDeletionTimestamp() != nil {
		return Health{"Progressing", "Pending deletion"}, nil
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		open := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(open, lua.LString(library.name)); err != nil {
			return Health{}, err
		}
	}
	within, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	state.SetContext(within)
	state.SetGlobal("obj", value(state, object.Object))
	if err := state.CallByParam(lua.P{Fn: state.NewFunctionFromProto(s.proto), NRet: 1, Protect: true}); err != nil {
		return Health{}, err
	}
	return health(state.Get(-1))
}

func health(returned lua.LValue) (Health, error) {
	table, ok := returned.(*lua.LTable)
	if !ok {
		return Health{}, fmt.Errorf("the script returned a %s, and not a table", returned.Type())
	}
	code, message := table.RawGetString("status"), table.RawGetString("message")
	if code.Type() != lua.LTString || !slices.Contains(codes, code.String()) {
		return Health{}, fmt.Errorf("the script returned the status %s", code)
	}
	switch message.Type() {
	case lua.LTString:
		return Health{code.String(), message.String()}, nil
	case lua.LTNil:
		return Health{Status: code.String()}, nil
	}
	return Health{}, fmt.Errorf("the script returned a message that is a %s", message.Type())
}

// An object as a script sees it. What is null is not there.
func value(state *lua.LState, from any) lua.LValue {
	switch from := from.(type) {
	case bool:
		return lua.LBool(from)
	case int64:
		return lua.LNumber(from)
	case float64:
		return lua.LNumber(from)
	case string:
		return lua.LString(from)
	case []any:
		list := state.CreateTable(len(from), 0)
		for _, item := range from {
			list.Append(value(state, item))
		}
		return list
	case map[string]any:
		table := state.CreateTable(0, len(from))
		for key, item := range from {
			table.RawSetString(key, value(state, item))
		}
		return table
	}
	return lua.LNil
}
