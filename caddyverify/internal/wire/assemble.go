package wire

import "slices"

// One returns the answer to a search for one verification, made of the part that
// an earlier answer said about it.
func One(f Format, raw []byte) []byte {
	if f == JSON {
		return raw
	}
	return append([]byte(xmlProlog), raw...)
}

// AppendList appends the answer to a search by request_ids, made of the parts that
// earlier answers said about each.
func AppendList(list []byte, f Format, raw [][]byte) []byte {
	open, between, end := `{"verification_requests":[`, ",", "]}\n"
	if f == XML {
		open, between, end = xmlProlog+"<verification_requests>", "", "</verification_requests>\n"
	}
	size := len(open) + len(end)
	for _, part := range raw {
		size += len(part) + len(between)
	}
	list = append(slices.Grow(list, size), open...)
	for i, part := range raw {
		if i > 0 {
			list = append(list, between...)
		}
		list = append(list, part...)
	}
	return append(list, end...)
}
