// One scenario with jlaffaye/ftp.
// usage: jlaffaye HOST:PORT plain|explicit|implicit SENT GOT
package main

import (
	"crypto/tls"
	"io"
	"log"
	"os"
	"time"

	"github.com/jlaffaye/ftp"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	address, security, sent, got := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	options := []ftp.DialOption{ftp.DialWithTimeout(20 * time.Second)}
	// Whose certificate it is, is not what this is about.
	config := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	switch security {
	case "explicit":
		options = append(options, ftp.DialWithExplicitTLS(config))
	case "implicit":
		options = append(options, ftp.DialWithTLS(config))
	}
	client, err := ftp.Dial(address, options...)
	must(err)
	must(client.Login("demo", "secret"))
	must(client.MakeDir("dir"))
	must(client.ChangeDir("dir"))
	in, err := os.Open(sent)
	must(err)
	must(client.Stor("file", in))
	entries, err := client.List("")
	must(err)
	if len(entries) != 1 || entries[0].Name != "file" {
		log.Fatalf("listed %v", entries)
	}
	must(client.Rename("file", "renamed"))
	body, err := client.Retr("renamed")
	must(err)
	out, err := os.Create(got)
	must(err)
	_, err = io.Copy(out, body)
	must(err)
	must(body.Close())
	must(client.Delete("renamed"))
	must(client.ChangeDirToParent())
	must(client.RemoveDir("dir"))
	must(client.Quit())
}
