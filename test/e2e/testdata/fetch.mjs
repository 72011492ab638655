// Prints the text of a stream as it comes: what a program in Node does without an EventSource.
const response = await fetch(process.argv[2], { headers: { authorization: `Bearer ${process.env.ROXY_TOKEN}`, accept: 'text/event-stream' } })
console.log(`${response.status} ${response.headers.get('content-encoding')}`)
for await (const text of response.body.pipeThrough(new TextDecoderStream())) process.stdout.write(text)
