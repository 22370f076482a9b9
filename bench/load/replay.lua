-- One request after the other, each with the next line of a file as a header:
--   wrk … -s replay.lua URL -- METHOD PATH FILE START [BODY]
-- FILE holds a header a line, START is the line to begin with, and {n} in PATH counts from 0 to 99.

local lines, count, at, heads, tail = {}, 0, 0, {}, nil

function init(args)
  local method, path, file, start, body = args[1], args[2], args[3], tonumber(args[4]), args[5]
  for line in io.lines(file) do
    count = count + 1
    lines[count] = line
  end
  at = start % count
  for n = 0, 99 do
    heads[n] = method .. " " .. path:gsub("{n}", tostring(n)) .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n"
  end
  tail = "\r\n\r\n"
  if body then
    tail = "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
  end
end

function request()
  at = at % count + 1
  return heads[at % 100] .. lines[at] .. tail
end
