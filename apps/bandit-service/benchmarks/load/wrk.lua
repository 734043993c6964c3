-- Sends the bodies of a file, one a line, and reports what was seen as one line of JSON.
-- Arguments: the file; "repeat" to begin again after its last line, else each is sent once.
-- A line that begins with a slash begins with the path it is for.
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  exhausted = 0
  local bodies = {}
  for line in io.lines(arguments[1]) do bodies[#bodies + 1] = line end
  wrk.body = bodies[1]
  if #bodies == 1 and arguments[2] == "repeat" then return end
  local at = 0
  function request()
    at = at + 1
    if at > #bodies then
      at = 1
      if arguments[2] ~= "repeat" then exhausted = 1 end
    end
    local path, body = bodies[at]:match("^(/%S+) (.*)$")
    return wrk.format(nil, path, nil, body or bodies[at])
  end
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %.4f, "p99": %.4f, "refused": %d, "broken": %d, "late": %d, "exhausted": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write, errors.timeout, threads[1]:get("exhausted")))
end
