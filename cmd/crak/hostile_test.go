package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"crak.dev/crak/image"
	"crak.dev/crak/image/imagetest"
	"crak.dev/crak/internal/abi"
)

// list is a JSON list of n elements.
func list(n int, elem func(i int) string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(elem(i))
	}
	return "[" + b.String() + "]"
}

// group is a group.json of one process with some lists replaced.
func group(parts map[string]string) []byte {
	const pid = 412
	p := image.Process{Pid: pid, Executable: image.File{Path: "/bin/true"}, Cwd: "/", RootDir: "/",
		Mappings: []image.Mapping{{Start: 0x1000, End: 1 << 46, Prot: 3, Kind: image.MappingAnonymous}},
		Threads:  []image.Thread{{Parked: abi.Thread{Tid: pid, Flags: abi.ThreadInitiator, Context: 0x1000, Frame: 0x1000, Syscall: -1}}},
		Actions:  make([]image.SignalAction, 64), Limits: []image.Limit{}, Descriptors: []image.Descriptor{}}
	fields := func(v any) map[string]json.RawMessage {
		text, _ := json.Marshal(v)
		all := make(map[string]json.RawMessage)
		json.Unmarshal(text, &all)
		return all
	}
	process := fields(p)
	all := fields(image.Group{Root: pid, Descriptions: []image.Description{}})
	for name, text := range parts {
		switch name {
		case "memory", "descriptions", "zombies", "objects", "semaphores", "queues":
			all[name] = json.RawMessage(text)
		default:
			process[name] = json.RawMessage(text)
		}
	}
	text, _ := json.Marshal(process)
	if more, ok := parts["processes"]; ok {
		delete(process, "processes")
		text, _ = json.Marshal(process)
		text = append(append(text, ','), more[1:len(more)-1]...)
	}
	all["processes"] = json.RawMessage("[" + string(text) + "]")
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return append(text, '\n')
}

// family is a group.json of a process and n others. of gives the parent, session and process group of each.
func family(n int, of func(i int) (parent, session, group int)) (text, index []byte) {
	actions := list(64, func(int) string { return `{"handler":"0x0"}` })
	return group(map[string]string{"processes": list(n, func(i int) string {
		parent, session, leader := of(i)
		return fmt.Sprintf(`{"pid":%d,"parent":%d,"session":%d,"process_group":%d,"mappings":[{"start":"0x1000","end":"0x3000","prot":3,"kind":"anonymous"}],`+
			`"threads":[{"parked":{"Tid":%d,"Flags":1,"Context":4096,"Frame":4096}}],"actions":%s}`, 1000+i, parent, session, leader, 1000+i, actions)
	})}), imagetest.Zeroes(image.ProcessSpace(412), nil)
}

func runs(n int, at func(i int) uint64) []byte {
	all := make([]image.Run, n)
	for i := range all {
		all[i] = image.Run{Start: at(i), Length: image.PageSize}
	}
	return imagetest.Zeroes(image.ProcessSpace(412), all)
}

// descriptor and socket are elements of lists of descriptors and of descriptions.
func descriptor(i int) string { return fmt.Sprintf(`{"fd":%d,"description":%d}`, i, i+1) }

func socket(i int) string {
	return fmt.Sprintf(`{"id":%d,"kind":"unix_socket","object":%d,"flags":2,"offset":0}`, i+1, i+1)
}

const flags = `"locked":true,"dont_fork":true,"wipe_on_fork":true,"dont_dump":true,"huge_page":true,"mergeable":true,"sequential":true,"random":true,"sealed":true`

// Bounds of memory and CPU time for each command that reads an image. A command whose time is not linear in the lengths below
// takes minutes. A linear one takes a second or two, and several times as long on a busy machine.
const (
	mostMemory = 512 << 20
	mostTime   = 15 * time.Second
)

// TestHostile checks that no command that reads an image exceeds these bounds, whatever the image contains.
func TestHostile(t *testing.T) {
	empty := imagetest.Zeroes(image.ProcessSpace(412), nil)
	mapping := func(more string) func(i int) string {
		return func(i int) string {
			at := 0x1000 * uint64(2*i+1)
			return fmt.Sprintf(`{"start":"%#x","end":"%#x","prot":3,"kind":"anonymous"%s}`, at, at+0x1000, more)
		}
	}
	plain := group(nil)
	wide := bytes.Replace(plain, []byte(`"0x400000000000"`), []byte(`"0xfffffffffff000"`), 1)
	actions := list(64, func(int) string { return `{"handler":"0x0"}` })
	for name, build := range map[string]func() (group, index []byte){
		"plain": func() ([]byte, []byte) { return plain, empty },
		"lists of null": func() ([]byte, []byte) {
			return []byte(`{"root":412,"processes":[` + strings.Repeat("null,", 4<<20) + `null]}`), empty
		},
		"lists of objects": func() ([]byte, []byte) {
			return []byte(`{"root":412,"processes":[` + strings.Repeat("{},", 7<<20) + `{}]}`), empty
		},
		"descending order": func() ([]byte, []byte) {
			return plain, runs(200_000, func(i int) uint64 { return 0x10_0000_0000 - 0x2000*uint64(i) })
		},
		"no order": func() ([]byte, []byte) {
			return plain, runs(1<<19, func(i int) uint64 { return 0x2000 * (1 + uint64(i)*0x9e3779b1%(1<<31)) })
		},
		"scattered": func() ([]byte, []byte) {
			return plain, runs(1<<21+1, func(i int) uint64 { return 0x20_0000 * uint64(i+1) })
		},
		"2^56 bytes": func() ([]byte, []byte) { return wide, empty },
		"mappings with flags": func() ([]byte, []byte) {
			return group(map[string]string{"mappings": list(120_000, mapping(","+flags))}), empty
		},
		"one name in many": func() ([]byte, []byte) {
			return group(map[string]string{"mappings": list(100_000, func(i int) string {
				return mapping(fmt.Sprintf(`,"name":%q`, strings.Repeat("x", 1+i/99_999*10_000_000)))(i)
			})}), empty
		},
		"threads": func() ([]byte, []byte) {
			return group(map[string]string{"threads": list(60_000, func(i int) string {
				return fmt.Sprintf(`{"parked":{"Tid":%d,"Flags":%d,"Context":4096,"Frame":4096},"comm":"x"}`, 412+i, max(0, 1-i))
			})}), empty
		},
		"descriptors": func() ([]byte, []byte) {
			return group(map[string]string{"descriptors": list(80_000, func(i int) string { return fmt.Sprintf(`{"fd":%d,"description":%d}`, i, i+1) }), "descriptions": list(80_000, func(i int) string {
				return fmt.Sprintf(`{"id":%d,"kind":"device","flags":0,"offset":0,"owner":{"pid":1}}`, i+1)
			})}), empty
		},
		"memory": func() ([]byte, []byte) {
			return group(map[string]string{"mappings": list(50_000, func(i int) string {
				return strings.Replace(mapping(fmt.Sprintf(`,"shared":true,"memory":%d`, i+1))(i), "anonymous", "memory", 1)
			}), "memory": list(50_000, func(i int) string {
				return fmt.Sprintf(`{"id":%d,"kind":"anonymous","size":4096,"huge_page_size":2097152}`, i+1)
			})}), empty
		},
		"timers and signals": func() ([]byte, []byte) {
			return group(map[string]string{"timers": list(50_000, func(i int) string {
				return fmt.Sprintf(`{"id":%d,"clock":1,"signal":10,"interval_ns":1,"value_ns":1,"overrun":1}`, i)
			}), "pending": list(50_000, func(i int) string { return `"` + strings.Repeat("A", 171) + `="` })}), empty
		},
		"processes and others": func() ([]byte, []byte) {
			return group(map[string]string{"processes": list(4_000, func(i int) string {
				return fmt.Sprintf(`{"pid":%d,"threads":[{"parked":{"Tid":%d,"Flags":2}}],"actions":%s}`, 1000+i, 1000+i, actions)
			}), "descriptions": list(80_000, func(i int) string { return fmt.Sprintf(`{"id":%d,"kind":"x","flags":0,"offset":0}`, i+1) })}), empty
		},
		"zombies of ended leaders": func() ([]byte, []byte) {
			return group(map[string]string{"zombies": list(60_000, func(i int) string {
				return fmt.Sprintf(`{"pid":%d,"parent":412,"process_group":%d,"session":%d}`, 1000+i, 300_000+i, 300_000+i)
			})}), empty
		},
		"zombies of an earlier session": func() ([]byte, []byte) {
			all, empty := family(1, func(i int) (int, int, int) { return 412, 1000, 1000 })
			zombies := list(60_000, func(i int) string {
				return fmt.Sprintf(`{"pid":%d,"parent":1000,"process_group":0,"session":0}`, 2000+i)
			})
			return append([]byte(`{"zombies":`+zombies+`,`), all[1:]...), empty
		},
		"a chain in ended sessions": func() ([]byte, []byte) {
			return family(3_000, func(i int) (int, int, int) { return 1000 + i - 1, 100_000 + i, 100_000 + i })
		},
		"100,000 members": func() ([]byte, []byte) {
			return family(100_000, func(int) (int, int, int) { return 412, 0, 0 })
		},
		"100,000 zombies": func() ([]byte, []byte) {
			return group(map[string]string{"zombies": list(100_000, func(i int) string {
				return fmt.Sprintf(`{"pid":%d,"parent":412,"process_group":0,"session":0,"exit_signal":%d}`, 1000+i, 1+i%64)
			})}), empty
		},
		"a chain of members": func() ([]byte, []byte) {
			return family(10_000, func(i int) (int, int, int) { return max(412, 1000*min(i, 1)+i-1), 0, 0 })
		},
		"a ring of members": func() ([]byte, []byte) {
			return family(10_000, func(i int) (int, int, int) { return 1000 + (i+1)%10_000, 0, 0 })
		},
		"epoll instances": func() ([]byte, []byte) {
			return group(map[string]string{"descriptors": list(40_000, descriptor), "descriptions": list(40_000, func(i int) string {
				return fmt.Sprintf(`{"id":%d,"kind":"epoll","flags":0,"offset":0,"record":{"quiet":true,"targets":[{"fd":%d,"description":%d}]}}`, i+1, i/2, i/2+1+max(0, 1-i))
			})}), empty
		},
		"epoll targets": func() ([]byte, []byte) {
			return group(map[string]string{"descriptors": list(2, descriptor), "descriptions": `[{"id":2,"kind":"eventfd","flags":0,"offset":0,"record":{"count":1}},` +
				`{"id":1,"kind":"epoll","flags":0,"offset":0,"record":{"targets":` + list(200_000, func(i int) string {
				return fmt.Sprintf(`{"fd":%d,"description":2,"spent":true}`, i)
			}) + `}}]`}), empty
		},
		"a chain of epoll instances": func() ([]byte, []byte) {
			return group(map[string]string{"descriptions": list(100_000, func(i int) string {
				return fmt.Sprintf(`{"id":%d,"kind":"epoll","flags":0,"offset":0,"record":{"targets":[{"fd":1,"description":%d}]}}`, i+1, min(i+2, 100_000-i%2))
			})}), empty
		},
		"sockets": func() ([]byte, []byte) {
			return group(map[string]string{"descriptors": list(40_000, descriptor), "descriptions": list(40_000, socket), "objects": list(40_000, func(i int) string {
				return fmt.Sprintf(`{"id":%d,"kind":"unix_socket","record":{"type":1,"peer":%d,"name":{"abstract":"%d"}}}`, i+1, i^1+1, i)
			})}), empty
		},
		"a record of empty messages": func() ([]byte, []byte) {
			return group(map[string]string{"descriptions": list(1, socket), "objects": `[{"id":1,"kind":"unix_socket","record":{"type":2,"messages":[` +
				strings.Repeat("{},", 15<<20) + `{}]}}]`}), empty
		},
		"a record of senders": func() ([]byte, []byte) {
			return group(map[string]string{"descriptions": list(1, socket), "objects": `[{"id":1,"kind":"unix_socket","record":{"type":2,"messages":[` +
				strings.Repeat(`{"size":0,"from":{}},`, 1<<20) + `{}]}}]`}), empty
		},
		"pidfds": func() ([]byte, []byte) {
			all, empty := family(4_000, func(int) (int, int, int) { return 412, 0, 0 })
			pidfds := list(100_000, func(i int) string {
				return fmt.Sprintf(`{"id":%d,"kind":"pidfd","flags":0,"offset":0,"record":{"pid":412}}`, i+1)
			})
			return bytes.Replace(all, []byte(`"descriptions":[]`), []byte(`"descriptions":`+pidfds), 1), empty
		},
		"a record of options": func() ([]byte, []byte) {
			return group(map[string]string{"descriptions": list(1, socket), "objects": `[{"id":1,"kind":"unix_socket","record":{"type":2,"options":{` +
				strings.Repeat(`"":[],`, 8<<20) + `"a":[` + strings.Repeat("0,", 4<<20) + `0]}}}]`}), empty
		},
		"a record of epoll targets": func() ([]byte, []byte) {
			return group(map[string]string{"descriptors": list(2, descriptor), "descriptions": `[{"id":2,"kind":"eventfd","flags":0,"offset":0,"record":{"count":1}},` +
				`{"id":1,"kind":"epoll","flags":0,"offset":0,"record":{"targets":` + list(1<<20, func(i int) string {
				return fmt.Sprintf(`{"fd":%d,"description":2}`, i)
			}) + `}}]`}), empty
		},
		"semaphores": func() ([]byte, []byte) {
			return group(map[string]string{"semaphores": list(20_000, func(i int) string {
				return fmt.Sprintf(`{"sysv":{"id":%d,"key":%d},"values":[%s1],"undo":[{"pid":412,"semaphore":5,"value":1}]}`, i, i+1, strings.Repeat("1,", 300))
			})}), empty
		},
		"messages": func() ([]byte, []byte) {
			return group(map[string]string{"queues": list(20_000, func(i int) string {
				return fmt.Sprintf(`{"sysv":{"id":%d,"key":%d},"limit":1,"messages":[%s{"type":1}]}`, i, i+1, strings.Repeat(`{"type":1},`, 30))
			})}), empty
		},
	} {
		t.Run(name, func(t *testing.T) {
			group, index := build()
			dir := t.TempDir()
			if err := imagetest.Write(dir, image.Manifest{Program: "app", Root: 412}, group, index, nil); err != nil {
				t.Fatal(err)
			}
			commands := [][]string{{"inspect", "--json"}, {"check"}, {"plan"}}
			// These take less memory and time than the others. To save time they run for some images only.
			if len(group) < 1<<20 || strings.HasPrefix(name, "processes") {
				commands = append(commands, []string{"verify"}, []string{"inspect"})
			}
			for _, args := range commands {
				m := measure(t, append(args, dir)...)
				t.Logf("%v: %d MiB, %v: status %d, %.200s", args, m.Memory>>20, m.Time.Round(time.Millisecond), m.Status, m.Said)
				if m.Memory > mostMemory {
					t.Errorf("%v: %d MiB of memory", args, m.Memory>>20)
				}
				if m.Time > mostTime {
					t.Errorf("%v: %v for %d KiB", args, m.Time, (len(group)+len(index))>>10)
				}
				if m.Status > exitFailed || m.Status < 0 || strings.Contains(m.Said, "goroutine") {
					t.Errorf("%v: status %d, %.500s", args, m.Status, m.Said)
				}
				if args[0] == "inspect" && m.Status == exitFailed {
					break // no other command gets beyond opening the image
				}
			}
		})
	}
}
